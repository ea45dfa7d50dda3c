// turns.h: costly steps for clients that are not known yet, one in each round of the loop, by
// addresses in turn: an address that asks for thousands holds another up by one. One thread.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "proxy/io/loop.h"

namespace halogen::proxy {

class Turns {
 public:
  explicit Turns(Loop& loop) : loop_(loop) {}

  // A place in the line. Leaves it when destroyed.
  class Ticket {
   public:
    // Calls back when its turn has come, unless that is at once.
    Ticket(Turns& turns, std::string key, std::function<void()> called)
        : turns_(turns), key_(std::move(key)), called_(std::move(called)) {
      turns_.enter(this);
    }
    ~Ticket() {
      if (!come_) turns_.leave(this);
    }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    bool come() const { return come_; }

   private:
    friend class Turns;
    Turns& turns_;
    const std::string key_;
    std::function<void()> called_;
    bool come_ = false;
  };

  size_t waiting() const;

 private:
  void enter(Ticket* ticket);
  void leave(Ticket* ticket);
  Ticket* next();
  Task<void> run();

  Loop& loop_;
  bool running_ = false;                                // This round's turn is taken.
  std::map<std::string, std::deque<Ticket*>> waiting_;  // None is empty.
  std::string last_;                                    // Whose turn was the last.
};

}  // namespace halogen::proxy
