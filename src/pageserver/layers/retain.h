// retain.h: which versions of a key have to stay: the one rule by which history is forgotten.
//
// Pure. What stays is what reads need at the horizon, above it, and at a few points below it.
// Merges of layer files, which are also the garbage collection, write down nothing else.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "pageserver/layers/memory_layer.h"

namespace halogen::pageserver {

// The LSNs at which a timeline can be read.
struct RetainSet {
  Lsn horizon;              // All from here on.
  std::vector<Lsn> points;  // And those below it, ascending: where branches begin, computes read.

  bool readable(Lsn lsn) const;
  // The points below the horizon, and the horizon.
  std::vector<Lsn> reads_to_keep() const;
};

// Takes the versions of one key after another, each in order of LSN and age, and passes on those
// that stay, in the same order. Holds one chain of changes below the horizon at a time.
class Keeper {
 public:
  // A read at `read` gives what `chain` says; nothing: it stays as it is. Only asked where a chain
  // begins anew or is continued.
  using Shorten =
      std::function<std::optional<std::string>(const Key&, Lsn read, const Chain& chain)>;
  using Emit = std::function<void(const EntryView&)>;
  struct Rules {
    // Whether the key is there at an LSN at which it is read. Pages of dropped relations are not.
    std::function<bool(const Key&, Lsn)> exists = [](const Key&, Lsn) { return true; };
    // Whether a tombstone may go if nothing older of the key stays: nothing is below, then.
    std::function<bool(const Key&, Lsn)> forget_tombstone = [](const Key&, Lsn) { return false; };
    Shorten shorten = [](const Key&, Lsn, const Chain&) { return std::nullopt; };
    // The page at the key's newest version, to follow that as an image; nothing: no image. Asked
    // with what a read there would have to apply, as far as it has been seen.
    struct Tail {
      Lsn lsn;
      size_t changes = 0;
      uint64_t bytes = 0;  // Of records, also of one that makes the page.
      Chain chain;         // The whole chain, unless it begins below what was seen, or is large.
    };
    std::function<std::optional<std::string>(const Key&, const Tail&)> image_at_end =
        [](const Key&, const Tail&) { return std::nullopt; };
  };

  Keeper(const RetainSet& retain, Rules rules, Emit emit)
      : reads_(retain.reads_to_keep()), rules_(std::move(rules)), emit_(std::move(emit)) {}

  void add(const EntryView& version);
  // The last key is complete.
  void finish();

 private:
  void pass_reads_below(Lsn lsn);
  void need_chain(Lsn read);
  void emit_chain();
  void emit(Lsn lsn, ValueKind kind, Bytes bytes);

  const std::vector<Lsn> reads_;
  const Rules rules_;
  const Emit emit_;
  std::optional<Key> key_;
  size_t next_read_ = 0;      // Into reads_: the first that has not been passed.
  Chain chain_;               // From the newest base that is not above it.
  size_t emitted_ = 0;        // So many of chain_ have been.
  bool emitted_any_ = false;  // Of this key.
  bool above_ = false;        // A version above the horizon has been.
  Rules::Tail tail_;          // Of what has been emitted.
};

// The same for one key and a list: what stays of `versions`.
Chain keep(const Key& key, const Chain& versions, const RetainSet& retain,
           Keeper::Rules rules = {});

}  // namespace halogen::pageserver
