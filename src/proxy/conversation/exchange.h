// exchange.h: what a server owes its client, and in which phase of the protocol the two are.
#pragma once
#include <cstdint>
#include <string>

#include "proxy/conversation/outstanding.h"

namespace halogen::proxy {

class Exchange {
 public:
  using Request = OutstandingRequest;
  using Kind = Request::Kind;
  using Job = Request::Job;

  enum class Phase : uint8_t {
    idle,      // The client has asked nothing since the last ReadyForQuery.
    waits,     // Nor has it yet, but its next message waits for something of ours.
    asked,     // It has.
    skipping,  // After an error the server ignores all up to a Sync that is still to be sent.
    copy_in,   // Until the client ends its data the server takes a Sync for a part of it.
  };

  // ---- The client, or we, ask ----

  Request& expect(Kind kind, Job job = Job::none, TextPtr text = nullptr);
  void client_waits() {
    if (phase == Phase::idle) phase = Phase::waits;
  }
  void take_sync();
  // Data of a COPY, if there is one; `kind` is copy_data or copy_end.
  void take_data(Kind kind);

  // ---- Syncs among data: exchange.cc ----

  // What becomes of a message of this type depends on whether a Sync before it was taken for data.
  bool in_doubt(wire::Frontend next) const;
  // Asks the server. To be called again, when the server has said more, until nothing is in doubt.
  void ask_about_syncs(std::string& to_server);
  // ReadyForQuery has come, of which one cannot tell yet whether it is the client's: keeps it, or
  // finds out that the server has skipped what the client said.
  bool keeps_ready(char transaction_status);
  // The Syncs before the question are settled. Returns how many ReadyForQuery were kept of the
  // client's, which it is to be told now.
  size_t settle_syncs();

  // ---- The server answers ----

  bool front_is_hidden() const { return !outstanding.empty() && outstanding.front().hidden(); }
  // To be called before each answer: what stands at the front is answered then.
  void pass_over_data();
  void copy_in_begins();
  void copy_has_ended();
  // An error has come, of a COPY if one was under way. `intervened`: somebody has made it fail,
  // whatever it did.
  void copy_has_failed(bool intervened);
  // ReadyForQuery: takes the request off. True if it is the client's to see.
  bool ready(char transaction_status);

  // ---- Where we are ----

  bool at_rest() const {
    return outstanding.empty() && phase == Phase::idle && transaction_status == 'I';
  }
  // The client has said something that waits for its Sync.
  bool amid_pipeline() const;

  OutstandingRequests outstanding;
  Phase phase = Phase::idle;
  char transaction_status = 'I';

 private:
  size_t doubtful_syncs() const;
};

}  // namespace halogen::proxy
