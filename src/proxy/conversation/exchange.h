// exchange.h: what a server owes its client, and in which phase of the protocol the two are.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

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
  // A Sync of the client. Puts marks around it in `to_server` where one before it may have been
  // taken for data of a COPY: see "Syncs among data" in exchange.cc.
  void take_sync(std::string& to_server);
  void copy_data_ended();

  // ---- The server answers ----

  bool front_is_hidden() const { return !outstanding.empty() && outstanding.front().hidden(); }
  // If a message of this type says that the server has skipped what is outstanding up to here.
  std::optional<std::vector<Request>::iterator> skipped(wire::Backend type);
  // A message of this type has come: forgets what will not be answered after all.
  void admit(wire::Backend type);
  void copy_in_begins();
  void copy_has_ended();
  // ReadyForQuery: takes the request off. True if it is the client's to see.
  bool ready(char transaction_status);

  // ---- Where we are ----

  bool at_rest() const {
    return outstanding.empty() && phase == Phase::idle && transaction_status == 'I';
  }
  // Some of what is outstanding may never be answered: nobody may wait for it.
  bool has_doubtful_sync() const;
  // The client has said something that waits for its Sync.
  bool amid_pipeline() const;

  OutstandingRequests outstanding;
  Phase phase = Phase::idle;
  char transaction_status = 'I';

 private:
  void pop_copy_ends();
  void put_mark(std::string& to_server);
  void put_sync(std::string& to_server, Job job);
};

}  // namespace halogen::proxy
