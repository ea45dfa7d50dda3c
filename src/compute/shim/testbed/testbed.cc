// testbed.cc: a page service and a lazily filled data directory out of a stopped cluster's files,
// so that the shim can be tested against stock Postgres without storage. See tests/shim.
//
//   prepare SOURCE TARGET MANIFEST SOCKET DEADLINE_MS [hot]  makes TARGET and MANIFEST
//   serve SOURCE SOCKET DELAY_US [RELFILENODE:BLOCK]          answers until killed
//   rebase MANIFEST SOCKET LSN DEADLINE_MS [keep]             keep: relation cache files
//   status MANIFEST                                           prints counters
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "compute/shim/manifest.h"
#include "compute/shim/manifest_builder.h"
#include "compute/shim/segment_path.h"

namespace halogen::shim {
namespace {

constexpr int kMajor = 15;

PageToken test_token() {
  PageToken token;
  for (size_t i = 0; i < sizeof token.bytes; ++i) token.bytes[i] = static_cast<uint8_t>(i * 7);
  return token;
}

RelTag tag_of(const SegmentId& id) {
  RelTag tag;
  tag.kind = static_cast<PageKind>(id.kind);
  tag.fork = id.fork;
  tag.spc = id.spc;
  tag.db = id.db;
  tag.rel = id.rel;
  return tag;
}

bool is_relation(const SegmentId& id) { return id.kind == 0; }

// Sorts the source's files: segments go to the skeleton, all else is copied.
Skeleton scan(const fs::path& source, const fs::path& target) {
  Skeleton skeleton;
  skeleton.lsn = Lsn(0x1234);
  std::map<RelTag, uint32_t> relations;
  for (const auto& file : fs::recursive_directory_iterator(source)) {
    std::string name = fs::relative(file.path(), source).string();
    if (file.is_directory()) {
      fs::create_directories(target / name);
      continue;
    }
    SegmentId id;
    if (!parse_segment(name.c_str(), &id)) {
      fs::create_directories((target / name).parent_path());
      fs::copy_file(file.path(), target / name);
      continue;
    }
    auto pages = static_cast<uint32_t>(file.file_size() / kPageSize);
    if (is_relation(id))
      relations[tag_of(id)] += pages;
    else
      skeleton.slrus.push_back({static_cast<Slru>(id.fork), id.number, pages});
  }
  for (const auto& [tag, pages] : relations) {
    bool unlogged = tag.fork != static_cast<uint8_t>(Fork::init) &&
                    relations.contains(tag.with_fork(Fork::init));
    if (!unlogged) skeleton.relations.push_back({tag, pages});
  }
  return skeleton;
}

// The first page of everything small, as if earlier boots had asked for it.
void add_hot_pages(Skeleton& skeleton, const fs::path& source) {
  for (const RelSize& relation : skeleton.relations) {
    if (relation.pages == 0 || relation.tag.rel > 10000) continue;
    HotPage hot;
    hot.key = {relation.tag, 0};
    fs::path file = source / segment_file(hot.key, kMajor);
    UniqueFd fd = open_file(file, O_RDONLY);
    hot.page = std::make_shared<std::string>(pread_exact(fd.get(), kPageSize, 0));
    skeleton.hot_pages.push_back(hot);
  }
}

ManifestOptions options_for(const std::string& socket, int deadline_ms) {
  ManifestOptions options;
  options.socket_path = socket;
  options.token = test_token();
  options.fetch_deadline = std::chrono::milliseconds(deadline_ms);
  return options;
}

void prepare(const fs::path& source, const fs::path& target, const fs::path& manifest,
             const ManifestOptions& options, bool hot) {
  fs::create_directories(target);
  fs::permissions(target, fs::perms::owner_all);
  Skeleton skeleton = scan(source, target);
  if (hot) add_hot_pages(skeleton, source);
  auto started = std::chrono::steady_clock::now();
  std::vector<PageKey> local = install_hot_pages(target, skeleton);
  build_manifest(manifest, skeleton, options, local);
  std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - started;
  fmt::print("relations={} build_ms={:.1f}\n", skeleton.relations.size(), took.count());
}

struct BadBlock {
  uint32_t rel = 0;
  uint32_t block = 0;
};

class Connection {
 public:
  Connection(int fd, const fs::path& source, int delay_us, BadBlock bad)
      : fd_(fd), source_(source), delay_us_(delay_us), bad_(bad) {}

  void run() {
    PageHello hello;
    if (!receive(&hello, sizeof hello)) return;
    PageToken wanted = test_token();
    bool known = std::equal(std::begin(hello.token.bytes), std::end(hello.token.bytes),
                            std::begin(wanted.bytes));
    PageHelloReply reply{kPageServiceMagic, known ? PageStatus::ok : PageStatus::denied};
    if (!send(&reply, sizeof reply) || !known) return;
    while (answer()) {
    }
  }

 private:
  bool answer() {
    PageRequest request;
    std::vector<PageRange> ranges;
    if (!receive(&request, sizeof request)) return false;
    ranges.resize(request.ranges);
    if (!receive(ranges.data(), ranges.size() * sizeof(PageRange))) return false;
    if (delay_us_ > 0) {
      std::uniform_int_distribution<int> delay(0, delay_us_ * 2);
      std::this_thread::sleep_for(std::chrono::microseconds(delay(random_)));
    }
    std::string body;
    PageReply reply{request.id, PageStatus::ok, 0};
    for (const PageRange& range : ranges) {
      if (range.first.tag.rel == bad_.rel && bad_.rel != 0 && bad_.block >= range.first.block &&
          bad_.block < range.first.block + range.pages)
        reply.status = PageStatus::corrupt;
      append(range, body);
    }
    if (reply.status != PageStatus::ok) body = "made up by the test";
    reply.body = static_cast<uint32_t>(body.size());
    return send(&reply, sizeof reply) && send(body.data(), body.size());
  }

  void append(const PageRange& range, std::string& body) {
    for (uint32_t i = 0; i < range.pages; ++i) {
      PageKey key = range.first;
      key.block += i;
      uint32_t in_segment = segment_pages(static_cast<uint8_t>(key.tag.kind));
      size_t at = body.size();
      body.resize(at + kPageSize);
      int fd = file_of(key);
      auto offset = static_cast<off_t>(key.block % in_segment) * kPageSize;
      if (fd >= 0) (void)!::pread(fd, body.data() + at, kPageSize, offset);
    }
  }

  int file_of(const PageKey& key) {
    uint32_t number = key.block / segment_pages(static_cast<uint8_t>(key.tag.kind));
    auto [found, fresh] = files_.try_emplace({key.tag, number});
    if (fresh) {
      found->second = UniqueFd(::open((source_ / segment_file(key, kMajor)).c_str(), O_RDONLY));
      // A file that is not there is pages of zeroes; anything else would be a lie.
      if (!found->second.valid() && errno != ENOENT) {
        std::perror("shim_testbed");
        std::abort();
      }
    }
    return found->second.get();
  }

  bool receive(void* to, size_t n) {
    for (auto* p = static_cast<char*>(to); n != 0;) {
      ssize_t got = ::recv(fd_.get(), p, n, 0);
      if (got <= 0) return false;
      p += got;
      n -= static_cast<size_t>(got);
    }
    return true;
  }
  bool send(const void* from, size_t n) {
    for (auto* p = static_cast<const char*>(from); n != 0;) {
      ssize_t sent = ::send(fd_.get(), p, n, MSG_NOSIGNAL);
      if (sent <= 0) return false;
      p += sent;
      n -= static_cast<size_t>(sent);
    }
    return true;
  }

  UniqueFd fd_;
  fs::path source_;
  int delay_us_;
  BadBlock bad_;
  std::minstd_rand random_{std::random_device{}()};
  std::map<std::pair<RelTag, uint32_t>, UniqueFd> files_;
};

[[noreturn]] void serve(const fs::path& source, const std::string& socket_path, int delay_us,
                        BadBlock bad) {
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  ::unlink(socket_path.c_str());
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), 128) != 0)
    throw system_error(errno, socket_path);
  ::chmod(socket_path.c_str(), 0777);
  fmt::print("ready\n");
  std::fflush(stdout);
  for (;;) {
    int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    std::thread([=] { Connection(fd, source, delay_us, bad).run(); }).detach();
  }
}

void print_status(const fs::path& manifest) {
  ManifestStatus s = read_manifest_status(manifest);
  fmt::print(
      "segments={} requests={} pages_fetched={} pages_installed={} conflicts={} waits={} "
      "wait_microseconds={} files_made={} failed_reads={} pages_evicted={} written_evicted={} "
      "pages_not_kept={} cached={} written={} read_lsn={}\n",
      s.segments, s.requests, s.pages_fetched, s.pages_installed, s.conflicts, s.waits,
      s.wait_microseconds, s.files_made, s.failed_reads, s.pages_evicted, s.written_evicted,
      s.pages_not_kept, s.cached, s.written, s.read_lsn.value);
}

int run(const std::vector<std::string>& words) {
  const std::string& command = words.at(0);
  if (command == "prepare") {
    ManifestOptions options = options_for(words.at(4), std::stoi(words.at(5)));
    options.cache_bytes = std::stoull(words.at(6));
    prepare(words.at(1), words.at(2), words.at(3), options, words.size() > 7);
  } else if (command == "serve") {
    BadBlock bad;
    if (words.size() > 4) std::sscanf(words[4].c_str(), "%u:%u", &bad.rel, &bad.block);
    serve(words.at(1), words.at(2), std::stoi(words.at(3)), bad);
  } else if (command == "rebase") {
    ManifestOptions options = options_for(words.at(2), std::stoi(words.at(4)));
    options.keep_relcache_files = words.size() > 5;
    rebase_manifest(words.at(1), Lsn(std::stoull(words.at(3))), options);
  } else if (command == "status") {
    print_status(words.at(1));
  } else {
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace halogen::shim

int main(int argc, char** argv) {
  rlimit files{};  // Each connection keeps open what it has read.
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  try {
    return halogen::shim::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "shim_testbed: {}\n", error.what());
    return 1;
  }
}
