// messages.h: what the platform, the warden and a room's first process say to each other, over
// socketpairs that keep messages apart (SOCK_SEQPACKET). Descriptors travel with them.
#pragma once
#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace halogen::compute {

// To the warden: make a room and start a program in it.
struct RoomRequest {
  uint32_t slot = 0;                     // Which user it runs as.
  std::string id;                        // The room's folder among all rooms'.
  std::vector<std::string> command;      // Program and arguments. Empty: only try.
  std::vector<std::string> environment;  // All of it.
  UniqueFd report;                       // Where RoomReports go.
  UniqueFd input;                        // Standard input.
  UniqueFd log;                          // Standard output and error.
  UniqueFd group;                        // The control group it is made in; none: the warden's.
};

struct RoomReport {
  enum class Event : uint32_t {
    failed,   // At `step`, with `error`. Nothing else comes.
    mapping,  // The guardian lives in its user namespace and waits for a byte: ids are mapped now.
    ready,    // The warden waits for requests.
    made,     // With the pidfd of the room: of the process whose end ends all others in it.
    started,  // With the program's pidfd.
    ended,    // The program, as waitid() says. The room ends after that.
  };
  Event event = Event::failed;
  int32_t error = 0;
  int32_t how = 0;     // si_code.
  int32_t status = 0;  // si_status.
  char step[128] = {};
};

RoomReport failure_report(const std::exception& error);

struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};
SocketPair make_socket_pair(int type);

// A message with descriptors (at most four). Returns what sendmsg() does.
ssize_t send_message(int socket, std::string_view bytes, std::span<const int> fds);

void send_request(int socket, const RoomRequest& request);
// nullopt at the end of the stream. Throws corrupt.
std::optional<RoomRequest> receive_request(int socket);

// Without effect if nobody listens any more. `fd`: -1 for none.
void send_report(int socket, const RoomReport& report, int fd = -1);
// nullopt if the other side has ended, or has said nothing for `milliseconds` (-1: no bound).
std::optional<RoomReport> receive_report(int socket, int milliseconds, UniqueFd* fd = nullptr);

}  // namespace halogen::compute
