// bench_clients COUNT URL...: holds COUNT clients, dealt out to the given connection strings in
// turn, and does what it is told line by line on standard input:
//
//   query SECONDS WORKERS   `select 1` through clients chosen at random; rates and latencies
//   crowd SECONDS           every client asks again as soon as it is answered; likewise
//   all                     one query through every client
//   check                   how many have been sent something, or closed, while they were idle
//   quit                    (or the end of input)
//
// Every answer is one line of JSON on standard output. The first comes when all are connected.
#include <fmt/core.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>
#include <sstream>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "clients/connection.h"

namespace halogen::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of work that many threads do: what went wrong, counted, and the first of it in words.
struct Errors {
  std::atomic<uint64_t> count{0};
  std::mutex mutex;
  std::string first;

  void add(const std::exception& error) {
    if (count.fetch_add(1) > 0) return;
    std::lock_guard lock(mutex);
    first = error.what();
    std::replace_if(
        first.begin(), first.end(), [](char c) { return c == '"' || c == '\\' || c < ' '; }, ' ');
  }
};

struct Client {
  std::unique_ptr<Connection> connection;
  std::mutex busy;
};

class Clients {
 public:
  Clients(size_t count, std::vector<Target> targets)
      : clients_(count), targets_(std::move(targets)) {}

  void connect(size_t threads) {
    Clock::time_point start = Clock::now();
    Errors errors;
    on_each(threads, [&](size_t i) {
      try {
        clients_[i].connection = std::make_unique<Connection>(
            shared_, targets_[i % targets_.size()], std::chrono::seconds(120));
      } catch (const std::exception& error) {
        errors.add(error);
      }
    });
    double took = seconds_since(start);
    fmt::print(R"({{"clients": {}, "errors": {}, "first_error": "{}", "seconds": {:.2f}, )"
               R"("per_second": {:.0f}}})"
               "\n",
               clients_.size() - errors.count, errors.count.load(), errors.first, took,
               static_cast<double>(clients_.size()) / took);
  }

  // One query through each; the answer is looked at.
  void all(size_t threads) {
    Errors errors;
    Clock::time_point start = Clock::now();
    on_each(threads, [&](size_t i) { one_query(i, errors); });
    fmt::print(R"({{"queries": {}, "errors": {}, "first_error": "{}", "seconds": {:.3f}}})"
               "\n",
               clients_.size(), errors.count.load(), errors.first, seconds_since(start));
  }

  void query(double seconds, size_t workers) {
    Errors errors;
    std::vector<std::vector<float>> times(workers);
    Clock::time_point start = Clock::now();
    std::vector<std::thread> threads;
    for (size_t w = 0; w < workers; ++w)
      threads.emplace_back([&, w] {
        std::mt19937_64 random(w + 1);
        while (seconds_since(start) < seconds) {
          Clock::time_point began = Clock::now();
          if (one_query(random() % clients_.size(), errors))
            times[w].push_back(static_cast<float>(seconds_since(began) * 1e6));
        }
      });
    for (std::thread& thread : threads) thread.join();
    double took = seconds_since(start);
    std::vector<float> all;
    for (const std::vector<float>& some : times) all.insert(all.end(), some.begin(), some.end());
    print_latencies(std::move(all), errors, took);
  }

  void crowd(double seconds) {
    Errors errors;
    std::vector<float> times;
    UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    std::vector<Clock::time_point> asked(clients_.size());
    size_t waiting = 0;
    auto ask = [&](size_t i) {
      asked[i] = Clock::now();
      clients_[i].connection->ask("select 1");
      ++waiting;
    };
    Clock::time_point start = Clock::now();
    for (size_t i = 0; i < clients_.size(); ++i) {
      if (!clients_[i].connection) continue;
      epoll_event interest{.events = EPOLLIN, .data = {.u64 = i}};
      ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, clients_[i].connection->fd(), &interest);
      ask(i);
    }
    while (waiting > 0) {
      epoll_event ready[64];
      int count = ::epoll_wait(epoll.get(), ready, 64, -1);
      for (int r = 0; r < count; ++r) {
        size_t i = ready[r].data.u64;
        --waiting;
        try {
          if (clients_[i].connection->answer() != "1") throw Error(Errc::corrupt, "not 1");
          times.push_back(static_cast<float>(seconds_since(asked[i]) * 1e6));
          if (seconds_since(start) < seconds) ask(i);
        } catch (const std::exception& error) {
          errors.add(error);
          clients_[i].connection.reset();
        }
      }
    }
    print_latencies(std::move(times), errors, seconds_since(start));
  }

  void check() {
    size_t disturbed = 0;
    for (Client& client : clients_) {
      pollfd waiting{
          .fd = client.connection ? client.connection->fd() : -1, .events = POLLIN, .revents = 0};
      if (!client.connection || ::poll(&waiting, 1, 0) != 0) ++disturbed;
    }
    fmt::print(R"({{"clients": {}, "disturbed": {}}})"
               "\n",
               clients_.size(), disturbed);
  }

 private:
  static void print_latencies(std::vector<float> times, Errors& errors, double seconds) {
    std::sort(times.begin(), times.end());
    auto at = [&times](double part) {
      if (times.empty()) return 0.0F;
      return times[std::min(times.size() - 1,
                            static_cast<size_t>(part * static_cast<double>(times.size())))];
    };
    fmt::print(R"({{"queries": {}, "errors": {}, "first_error": "{}", "per_second": {:.0f}, )"
               R"("p50_us": {:.0f}, "p90_us": {:.0f}, "p99_us": {:.0f}, "max_us": {:.0f}}})"
               "\n",
               times.size(), errors.count.load(), errors.first,
               static_cast<double>(times.size()) / seconds, at(0.5), at(0.9), at(0.99), at(1));
  }

  bool one_query(size_t i, Errors& errors) {
    Client& client = clients_[i];
    std::lock_guard lock(client.busy);
    try {
      if (!client.connection) throw Error(Errc::unavailable, "this client is gone");
      if (std::string value = client.connection->query("select 1"); value != "1")
        throw Error(Errc::corrupt, "select 1 gave {}", value);
      return true;
    } catch (const std::exception& error) {
      errors.add(error);
      client.connection.reset();
      return false;
    }
  }

  void on_each(size_t threads, const std::function<void(size_t)>& work) {
    std::atomic<size_t> next{0};
    std::vector<std::thread> running;
    for (size_t t = 0; t < threads; ++t)
      running.emplace_back([&] {
        for (size_t i; (i = next.fetch_add(1)) < clients_.size();) work(i);
      });
    for (std::thread& thread : running) thread.join();
  }

  Shared shared_;
  std::vector<Client> clients_;
  std::vector<Target> targets_;
};

void allow_many_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int run(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: bench_clients COUNT URL...\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  allow_many_files();
  std::vector<Target> targets;
  for (int i = 2; i < argc; ++i) targets.push_back(parse_target(argv[i]));
  Clients clients(std::stoul(argv[1]), std::move(targets));
  constexpr size_t kThreads = 16;
  clients.connect(kThreads);
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    std::istringstream words(line);
    std::string command;
    double seconds = 5;
    size_t workers = 4;
    words >> command >> seconds >> workers;
    if (command == "query")
      clients.query(seconds, workers);
    else if (command == "crowd")
      clients.crowd(seconds);
    else if (command == "all")
      clients.all(kThreads);
    else if (command == "check")
      clients.check();
    else
      fmt::print("{{\"error\": \"no such command\"}}\n");
    std::fflush(stdout);
  }
  // No goodbyes: closing thousands of sessions politely is nothing anyone waits for.
  std::_Exit(0);
}

}  // namespace
}  // namespace halogen::bench

int main(int argc, char** argv) {
  try {
    return halogen::bench::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_clients: {}\n", error.what());
    return 1;
  }
}
