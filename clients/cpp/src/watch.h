#ifndef HEADGATE_WATCH_H_
#define HEADGATE_WATCH_H_

#include <grpcpp/grpcpp.h>

#include <memory>

namespace headgate {

// Reads what a server says of its connections (GOAWAY, a close) while no call is running.
//
// gRPC for C++ reads only while a thread waits in it, and looks every five seconds by itself: until
// then a call would go to a server that has said that it leaves, and end as CANCELLED. So one
// thread of the process waits, asleep, for the watched channels to change their state.
void Watch(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace headgate

#endif  // HEADGATE_WATCH_H_
