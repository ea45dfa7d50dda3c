// change.h: what one WAL record changes, gathered as Puts while the Head is kept in step.
//
// Everything that alters a Head and the Store goes through here, so that the two cannot differ.
//
// The next transaction id moves with nearly every transaction. To keep that from being a write each
// time, what is stored is rounded up to the next multiple of 64 (a compute that boots from it skips
// a few ids, which Postgres permits); the Head has it exact.
#pragma once
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "pageserver/ingest/head.h"
#include "pageserver/ingest/native_apply.h"
#include "postgres/major.h"

namespace halogen::pageserver {

class Change {
 public:
  Change(Head& head, const MajorLayout& major) : head_(head), major_(major) {}

  // Forgets what was gathered; the next changes are of the record that ends at `lsn`.
  void begin(Lsn lsn);
  // Closes the record: the Head is at its LSN now. Good until begin().
  std::span<const Put> finish();
  std::span<const Put> puts() const { return puts_; }

  const Head& head() const { return head_; }
  const MajorLayout& major() const { return major_; }

  // `bytes` must outlive this change (the record's own), or are taken over.
  void put(const Key& key, ValueKind kind, Bytes bytes = {}) {
    puts_.push_back({key, kind, bytes});
  }
  void put_owned(const Key& key, ValueKind kind, std::string bytes);

  // The fork is made, and made longer, so that it has the page: whatever new pages it gets are
  // zeros, but for this one if the record makes it from nothing. Throws corrupt, and changes
  // nothing, where that were more new pages than any true record makes.
  void touch_page(const PageKey& page, bool record_makes_it);
  void create_relation(const RelTag& tag);
  // Only ever shorter.
  void truncate_relation(const RelTag& tag, uint32_t pages);
  void drop_relation(uint32_t spc, uint32_t db, uint32_t rel);  // All forks.
  void set_relation_size(const RelTag& tag, uint32_t pages);

  void slru_zero_page(Slru slru, uint32_t page);
  bool slru_has_page(Slru slru, uint32_t page) const;
  void slru_set_segment(Slru slru, uint32_t segment, uint32_t pages);
  void slru_change(Slru slru, uint32_t page, std::string native_op);
  // Segments that lie before the page `cutoff`, in the circular order of an SLRU with `per_page`
  // entries to a page, go away.
  void slru_truncate(Slru slru, uint32_t cutoff, uint32_t per_page);
  void slru_drop_segment(Slru slru, uint32_t segment);

  void set_file(const std::string& path, std::string content);
  void remove_file(const std::string& path);
  void add_database(uint32_t spc, uint32_t db);
  void drop_database(uint32_t spc, uint32_t db);  // With all that is in it.
  void add_tablespace(uint32_t spc, std::string location);
  void drop_tablespace(uint32_t spc);

  // The next transaction id is above this one.
  void advance_xid(uint32_t xid);
  // Also stores them exactly.
  void set_checkpoint(const CheckpointFields& fields);
  void advance_multi(uint32_t next_multi, uint32_t next_offset);
  void advance_commit_ts(uint32_t xid);
  void set_commit_ts_active(bool active);
  void set_origin(uint16_t origin, uint64_t remote_lsn);
  void drop_origin(uint16_t origin);
  void relcache_changed();
  void committed_at(int64_t time);

 private:
  void slru_grow(Slru slru, uint32_t page, bool zero_last);
  void store_checkpoint(CheckpointFields fields);
  void store_origins();

  Head& head_;
  const MajorLayout& major_;
  Lsn lsn_;
  uint64_t stored_next_xid_ = 0;
  std::vector<Put> puts_;
  std::deque<std::string> owned_;  // A deque: what it holds never moves.
};

// A native operation's bytes, to be appended to.
inline Writer native_op(NativeOp op) {
  Writer out;
  out.put(op);
  return out;
}

}  // namespace halogen::pageserver
