// Say: a line on stderr for the person who runs the program, whatever HET_LOG says: why it gets no
// device, why its launches fail. One write, so that the line stays whole among those of others.
#ifndef HET_INTERPOSE_SAY_H_
#define HET_INTERPOSE_SAY_H_

#include "absl/strings/string_view.h"

namespace het::interpose {

void Say(absl::string_view text);

}  // namespace het::interpose

#endif  // HET_INTERPOSE_SAY_H_
