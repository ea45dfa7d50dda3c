// pin_watch.h: a session keeps its server for what cannot be moved. Which that is, and for how long
// it may be kept for nothing else.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "proxy/io/loop.h"
#include "proxy/pool/pool.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

class PinWatch {
 public:
  // `expired` is called once the bound has passed.
  PinWatch(ClientSide& client, std::function<void()> expired)
      : client_(client), expired_(std::move(expired)), timer_(client.worker.loop) {}

  // The session does nothing now, but keeps its server: for so long and no longer (0: as long as it
  // likes). In a transaction that is after each statement. The bound is that of the pin's begin.
  void keeps(std::string_view reason);
  // It works with its server.
  void uses();
  // It keeps none.
  void releases();
  // The server may be asked for while nothing else is done with it.
  void lends(LenderPtr lender) { lender_ = std::move(lender); }
  bool is_lent() const { return lender_ != nullptr; }

  // As counted in the metrics; "" without a pin.
  const std::string& reason() const { return reason_; }
  // Whether the server that has just ended did so because the bound passed.
  bool take_expired() { return std::exchange(has_expired_, false); }

 private:
  void set_reason(std::string_view reason);
  void look_at(steady_clock::time_point when);
  void end_if_due();

  ClientSide& client_;
  const std::function<void()> expired_;
  std::string reason_;
  LenderPtr lender_;
  std::optional<steady_clock::time_point> unused_since_;
  std::chrono::milliseconds bound_{0};
  Timer timer_;
  bool has_expired_ = false;
};

}  // namespace halogen::proxy
