// redo_test_records.h: hand-made WAL records for tests, as a compute would write them.
#pragma once
#include <string>

#include "base/bytes.h"
#include "base/checksum.h"
#include "protocol/page_key.h"

namespace halogen::pageserver::testing {

// Header, `blocks` (as made below, headers then payloads), main data, and the right checksum.
inline std::string make_record(uint8_t rmgr, uint8_t info, std::string_view block_headers,
                               std::string_view payload, std::string_view main_data) {
  Writer body;
  body.text(block_headers);
  if (!main_data.empty())
    body.put(uint8_t{255}).put(static_cast<uint8_t>(main_data.size()));  // XLR_BLOCK_ID_DATA_SHORT
  body.text(payload).text(main_data);

  Writer head;
  head.put(static_cast<uint32_t>(24 + body.size())).put(uint32_t{0}).put(uint64_t{0});
  head.put(info).put(rmgr).put(uint16_t{0});
  uint32_t crc = crc32c_extend(crc32c(as_bytes(body.view())), as_bytes(head.view()));
  return head.put(crc).text(body.view()).take();
}

inline std::string block_header(const PageKey& key, uint8_t flags, uint16_t data_size,
                                std::string_view image_header = "", uint8_t id = 0) {
  Writer out;
  out.put(id).put(static_cast<uint8_t>(key.tag.fork | flags)).put(data_size);
  out.text(image_header).put(key.tag.spc).put(key.tag.db).put(key.tag.rel).put(key.block);
  return out.take();
}

// XLOG_FPI of a whole page, no hole.
inline std::string full_page_image(const PageKey& key, std::string_view page) {
  Writer image;
  image.put(static_cast<uint16_t>(page.size())).put(uint16_t{0}).put(uint8_t{0x02});
  return make_record(0, 0xB0, block_header(key, 0x10, 0, image.view()), page, "");
}

// XLOG_HEAP_INSERT of a row of one short text at `offset` (from 1); `init` makes the page anew.
inline std::string heap_insert(const PageKey& key, uint16_t offset, bool init,
                               std::string_view text) {
  Writer tuple;
  tuple.put(uint16_t{1}).put(uint16_t{0x0802}).put(uint8_t{24});  // infomask2, infomask, hoff
  tuple.put(uint8_t{0});                                          // padding before the data
  tuple.put(static_cast<uint8_t>((text.size() + 1) << 1 | 1)).text(text);
  Writer main;
  main.put(offset).put(uint8_t{0});
  uint8_t flags = 0x20 | (init ? 0x40 : 0);  // HAS_DATA, WILL_INIT
  return make_record(10, init ? 0x80 : 0x00,
                     block_header(key, flags, static_cast<uint16_t>(tuple.size())), tuple.view(),
                     main.view());
}

// A generic record that has one byte of `key` at `offset` changed, and an image of the page
// `other`, which redo restores first.
inline std::string change_with_other_image(const PageKey& key, uint16_t offset, uint8_t byte,
                                           const PageKey& other) {
  constexpr uint16_t kImage = 32;  // All the rest of the page is its hole.
  Writer image, change;
  image.put(kImage).put(uint16_t{24}).put(uint8_t{0x03});  // HAS_HOLE, APPLY
  change.put(offset).put(uint16_t{1}).put(byte);
  std::string blocks = block_header(other, 0x10, 0, image.view()) +
                       block_header(key, 0x20, static_cast<uint16_t>(change.size()), "", 1);
  return make_record(20, 0, blocks, std::string(kImage, '\x01') + change.take(), "");
}

}  // namespace halogen::pageserver::testing
