// The description of org.het.v1 in Varlink's interface language, and the version of this build.
#ifndef HET_DAEMON_INTERFACE_H_
#define HET_DAEMON_INTERFACE_H_

namespace het::daemon {

inline constexpr char kVersion[] = "0.1.0";

extern const char kInterfaceDescription[];

}  // namespace het::daemon

#endif  // HET_DAEMON_INTERFACE_H_
