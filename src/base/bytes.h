// bytes.h: reading and writing integers in byte strings, bounds-checked.
//
// Reader throws Errc::corrupt when it is asked for more than is left, so a parser of bytes from
// outside needs no checks of its own for lengths. Both are little-endian by default (our formats,
// Postgres' on-disk formats); the be_ calls are big-endian (the Postgres wire protocol).
#pragma once
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace halogen {

static_assert(std::endian::native == std::endian::little, "our formats are little-endian in place");

using Bytes = std::span<const std::byte>;

inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Unaligned loads and stores at a place already known to be in bounds.
template <typename T>
T load(const void* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
void store(void* to, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
}
template <std::integral T>
constexpr T byteswap(T value) {
  if constexpr (sizeof(T) == 1)
    return value;
  else if constexpr (sizeof(T) == 2)
    return static_cast<T>(__builtin_bswap16(value));
  else if constexpr (sizeof(T) == 4)
    return static_cast<T>(__builtin_bswap32(value));
  else
    return static_cast<T>(__builtin_bswap64(value));
}

class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}
  explicit Reader(std::string_view text) : rest_(as_bytes(text)) {}

  bool empty() const { return rest_.empty(); }
  size_t left() const { return rest_.size(); }
  Bytes rest() const { return rest_; }

  template <typename T>
  T get() {
    T value = load<T>(take(sizeof(T)).data());
    return value;
  }
  template <std::integral T>
  T be_get() {
    return byteswap(get<T>());
  }

  Bytes take(size_t size) {
    if (size > rest_.size()) overrun(size);
    Bytes taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  void skip(size_t size) { take(size); }
  // A zero-terminated string; the terminator is consumed and not returned.
  std::string_view cstring();

 private:
  [[noreturn]] void overrun(size_t wanted) const;
  Bytes rest_;
};

class Writer {
 public:
  template <typename T>
  Writer& put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  template <std::integral T>
  Writer& be_put(T value) {
    return put(byteswap(value));
  }
  Writer& bytes(Bytes bytes) {
    out_.append(as_text(bytes));
    return *this;
  }
  Writer& text(std::string_view text) {
    out_.append(text);
    return *this;
  }
  Writer& cstring(std::string_view text) {
    out_.append(text).push_back('\0');
    return *this;
  }

  size_t size() const { return out_.size(); }
  std::string& buffer() { return out_; }
  std::string_view view() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string to_hex(Bytes bytes);
// Throws invalid_argument unless `hex` is exactly 2 * out.size() hex digits.
void from_hex(std::string_view hex, std::span<std::byte> out);

}  // namespace halogen
