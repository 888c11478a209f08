// Worker: the other end of an isolated driver: a process of its own that has the vendor's library
// in it and does what it is told over a socket (wire.h). It ends when the socket is closed, and
// when the driver crashes it.
#ifndef HET_RUNTIME_ISOLATION_WORKER_H_
#define HET_RUNTIME_ISOLATION_WORKER_H_

#include "devices/driver.h"

namespace het::runtime::isolation {

// Serves until the other end is gone. `driver` is used by this thread alone.
void Serve(int socket, Driver& driver);

}  // namespace het::runtime::isolation

#endif  // HET_RUNTIME_ISOLATION_WORKER_H_
