// What somebody else's program does first: opens a session without a daemon and counts the devices.
#include <cstdio>

#include "het/het.h"

int main() {
  het_session_options options;
  HET_INIT(options);
  options.flags = HET_SESSION_EMBEDDED;
  het_session* session = nullptr;
  het_status status = het_session_open(&options, &session);
  if (het_status_code(status) != HET_OK) {
    std::printf("%s\n", het_status_message(status));
    return 1;
  }
  std::printf("het works outside\n");
  het_session_close(session);
  return 0;
}
