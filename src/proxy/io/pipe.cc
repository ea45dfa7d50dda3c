#include "proxy/io/pipe.h"

#include <algorithm>
#include <cstring>

namespace halogen::proxy {
namespace {

void wake(Watch* watch) {
  if (watch != nullptr) watch->became_ready();
}

}  // namespace

std::pair<Connection, Connection> make_pipe(const Loop& loop) {
  auto there = std::make_shared<PipeEnd::Lane>();
  auto back = std::make_shared<PipeEnd::Lane>();
  Connection one{UniqueFd(), std::make_unique<PipeEnd>(loop, back, there)};
  Connection other{UniqueFd(), std::make_unique<PipeEnd>(loop, there, back)};
  return {std::move(one), std::move(other)};
}

PipeEnd::~PipeEnd() {
  finish();
  in_->abandoned = true;
  wake(in_->writer);
}

// Of so many bytes.
size_t PipeEnd::at_once(size_t size) const {
  SimulatedMachine* machine = loop_.machine();
  return machine == nullptr || size == 0 ? size : machine->at_once(size);
}

IoResult PipeEnd::read(std::span<char> to) {
  Lane& lane = *in_;
  size_t size = at_once(std::min(to.size(), lane.size()));
  if (size == 0) return {lane.size() == 0 && lane.ended ? Io::closed : Io::want_read};
  std::memcpy(to.data(), lane.bytes.data() + lane.read, size);
  bool was_full = lane.size() >= kMostBytes;
  lane.read += size;
  if (lane.size() == 0) {
    lane.bytes.clear();
    lane.read = 0;
  }
  if (was_full) wake(lane.writer);
  return {Io::done, size};
}

IoResult PipeEnd::write(std::string_view from) {
  Lane& lane = *out_;
  if (lane.abandoned || lane.ended) return {Io::failed};
  size_t size = at_once(std::min(from.size(), kMostBytes - lane.size()));
  if (size == 0) return {Io::want_write};
  if (lane.read > 0) lane.bytes.erase(0, std::exchange(lane.read, 0));
  lane.bytes.append(from.substr(0, size));
  wake(lane.reader);
  return {Io::done, size};
}

IoResult PipeEnd::peek(char& byte) {
  const Lane& lane = *in_;
  if (lane.size() == 0) return {lane.ended ? Io::closed : Io::want_read};
  byte = lane.bytes[lane.read];
  return {Io::done, 1};
}

void PipeEnd::finish() {
  out_->ended = true;
  wake(out_->reader);
}

// As epoll has it: at an end there is something to be found out.
bool PipeEnd::is_ready(bool to_write) const {
  if (to_write) return out_->abandoned || out_->ended || out_->size() < kMostBytes;
  return in_->ended || in_->size() > 0;
}

void PipeEnd::tell(Watch* watch) { in_->reader = out_->writer = watch; }

}  // namespace halogen::proxy
