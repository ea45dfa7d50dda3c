// pipe.h: a connection inside the process: two ends on one loop, and what is written at one is read
// at the other. No descriptor, no system call. So many bytes fit; then its writer waits.
#pragma once
#include <memory>
#include <string>
#include <utility>

#include "proxy/io/stream.h"

namespace halogen::proxy {

class PipeEnd final : public Channel, public Source {
 public:
  static constexpr size_t kMostBytes = 128 * 1024;  // On their way in one direction.

  // One way through a pipe.
  struct Lane {
    std::string bytes;
    size_t read = 0;         // Of them.
    bool ended = false;      // Nothing more is written.
    bool abandoned = false;  // Nothing more is read.
    Watch* reader = nullptr;
    Watch* writer = nullptr;

    size_t size() const { return bytes.size() - read; }
  };

  PipeEnd(const Loop& loop, std::shared_ptr<Lane> in, std::shared_ptr<Lane> out)
      : loop_(loop), in_(std::move(in)), out_(std::move(out)) {}
  ~PipeEnd() override;
  PipeEnd(const PipeEnd&) = delete;
  PipeEnd& operator=(const PipeEnd&) = delete;

  IoResult read(std::span<char> to) override;
  IoResult write(std::string_view from) override;
  IoResult peek(char& byte) override;
  void finish() override;
  bool ended() const override { return in_->ended; }
  Source* source() override { return this; }

  bool is_ready(bool to_write) const override;
  void tell(Watch* watch) override;

 private:
  size_t at_once(size_t size) const;

  const Loop& loop_;  // Whose machine may be a simulated one.
  const std::shared_ptr<Lane> in_;
  const std::shared_ptr<Lane> out_;
};

// Both ends, each for a Stream of this loop.
std::pair<Connection, Connection> make_pipe(const Loop& loop);

}  // namespace halogen::proxy
