#include "compute/shim/same_page.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>

namespace halogen::shim {
namespace {

constexpr uint32_t kUpper = 8000;

template <typename T>
void put(std::string& page, size_t at, T value) {
  std::memcpy(page.data() + at, &value, sizeof value);
}

std::string page_with(uint16_t special) {
  std::string page(8192, 0);
  put<uint32_t>(page, 4, 0x5000028);  // LSN, the low half.
  put<uint16_t>(page, 12, 28);        // One line pointer.
  put<uint16_t>(page, 14, kUpper);
  put<uint16_t>(page, 16, special);
  put<uint16_t>(page, 18, 8192 | 4);
  put<uint32_t>(page, 24, kUpper | 1 << 15 | 40 << 17);
  return page;
}

// A tuple of transaction 700, its second command's, which nobody has looked at.
std::string heap_page() {
  std::string page = page_with(8192);
  put<uint32_t>(page, kUpper, 700);
  put<uint32_t>(page, kUpper + 8, 1);
  put<uint16_t>(page, kUpper + 18, 3);
  put<uint16_t>(page, kUpper + 20, 0x0002);
  put<uint8_t>(page, kUpper + 22, 24);
  return page;
}

using Change = std::function<void(std::string&)>;

template <typename T>
Change setting(size_t at, T value) {
  return [=](std::string& page) { put<T>(page, at, value); };
}

bool same_after(const std::string& page, const Change& of_local, const Change& of_storage = {}) {
  std::string local = page, in_storage = page;
  of_local(local);
  if (of_storage) of_storage(in_storage);
  return same_page(local.data(), in_storage.data());
}

TEST(SamePage, HintsMayBeLost) {
  const std::string page = heap_page();
  EXPECT_TRUE(same_after(page, [](std::string&) {}));
  EXPECT_TRUE(same_after(page, setting<uint16_t>(8, 0x1234))) << "the checksum";
  EXPECT_TRUE(same_after(page, setting<uint16_t>(10, 3))) << "free lines, full";
  EXPECT_TRUE(same_after(page, setting<uint32_t>(20, 700))) << "what to prune";
  EXPECT_TRUE(same_after(page, setting<uint16_t>(kUpper + 20, 0x0902))) << "committed, no xmax";
  EXPECT_TRUE(same_after(page, setting<uint32_t>(4000, 1))) << "between pointers and tuples";
  EXPECT_TRUE(same_after(page, setting<uint8_t>(kUpper + 41, 1))) << "behind a tuple";
}

TEST(SamePage, WhatWalKnowsMustBeTheSame) {
  const std::string page = heap_page();
  EXPECT_FALSE(same_after(page, setting<uint32_t>(4, 0x5000029))) << "another version";
  EXPECT_FALSE(same_after(page, setting<uint16_t>(12, 24)));
  EXPECT_FALSE(same_after(page, setting<uint32_t>(24, kUpper | 3 << 15 | 40 << 17)))
      << "dead by a record";
  EXPECT_FALSE(same_after(page, setting<uint32_t>(kUpper + 4, 701))) << "deleted";
  EXPECT_FALSE(same_after(page, setting<uint16_t>(kUpper + 18, 0x2003)));
  EXPECT_FALSE(same_after(page, setting<uint16_t>(kUpper + 20, 0x0302))) << "frozen";
  EXPECT_FALSE(same_after(page, setting<uint8_t>(kUpper + 39, 1)));
}

TEST(SamePage, AllVisibleIsNoHint) {
  EXPECT_FALSE(same_after(heap_page(), setting<uint16_t>(10, 4)));
  EXPECT_FALSE(same_after(heap_page(), [](std::string&) {}, setting<uint16_t>(10, 4)));
}

// Replay knows no commands: each is the first.
TEST(SamePage, CommandsAreToldApartUntilTheTransactionHasEnded) {
  const std::string page = heap_page();
  const Change first_command = setting<uint32_t>(kUpper + 8, 0);
  EXPECT_TRUE(same_after(page, first_command, first_command));
  EXPECT_FALSE(same_after(page, [](std::string&) {}, first_command));
  const auto mask = [](uint16_t bits) { return setting<uint16_t>(kUpper + 20, bits); };
  EXPECT_TRUE(same_after(page, mask(0x0102), first_command)) << "committed";
  EXPECT_TRUE(same_after(page, mask(0x0202), first_command)) << "rolled back";
  EXPECT_TRUE(same_after(page, mask(0x0122), first_command)) << "committed, of two commands";
  std::string deleted = page;
  put<uint32_t>(deleted, kUpper + 4, 701);
  EXPECT_FALSE(same_after(deleted, mask(0x0102), first_command)) << "701 may be at work";
  EXPECT_TRUE(same_after(deleted, mask(0x0502), first_command));
}

TEST(SamePage, ItemsOfAnIndexMayBeKnownToBeDead) {
  const std::string page = page_with(8176);
  const Change dead = setting<uint32_t>(24, kUpper | 3 << 15 | 40 << 17);
  EXPECT_TRUE(same_after(page, dead));
  EXPECT_TRUE(same_after(page, setting<uint16_t>(8188, 1 << 6))) << "has garbage";
  EXPECT_FALSE(same_after(page, setting<uint16_t>(8188, 1 << 4)));
  EXPECT_FALSE(same_after(page, setting<uint16_t>(8190, 7))) << "split while vacuum 7 runs";
  EXPECT_FALSE(same_after(page, setting<uint32_t>(24, kUpper | 1 << 15 | 41 << 17)));
  EXPECT_FALSE(same_after(page, setting<uint8_t>(kUpper + 39, 1)));
  std::string gist = page;
  put<uint16_t>(gist, 8190, 0xFF81);
  EXPECT_TRUE(same_after(gist, setting<uint16_t>(8188, 1 << 4)));
}

TEST(SamePage, APageOfAnotherShapeIsComparedWhole) {
  std::string page = page_with(8192);
  put<uint16_t>(page, 12, 0);
  EXPECT_TRUE(same_after(page, [](std::string&) {}));
  EXPECT_FALSE(same_after(page, setting<uint8_t>(5000, 1)));
  std::string wild = heap_page();
  put<uint32_t>(wild, 24, 0xFFFFFFFF);  // A tuple past the end.
  EXPECT_FALSE(same_after(wild, [](std::string&) {}));
}

// Whatever is in them, no byte beyond is looked at, and a page of another LSN is never the same.
TEST(SamePage, DamagedPagesAreReadWithinTheirBounds) {
  std::minstd_rand random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string a = round % 2 ? heap_page() : page_with(8176);
    for (int i = 0; i < 4; ++i) a[random() % 32] = static_cast<char>(random());
    const auto local = std::make_unique<char[]>(8192), in_storage = std::make_unique<char[]>(8192);
    std::memcpy(local.get(), a.data(), 8192);
    std::memcpy(in_storage.get(), a.data(), 8192);
    (void)same_page(local.get(), in_storage.get());
    in_storage[4 + random() % 4] ^= 1;
    EXPECT_FALSE(same_page(local.get(), in_storage.get()));
  }
}

}  // namespace
}  // namespace halogen::shim
