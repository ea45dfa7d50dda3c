// pg15.h: the layout facts of PostgreSQL 15 that our code relies on: resource managers, their
// record types, flag bits. What differs between majors in *values* is in MajorLayout (major.h); a
// major whose record types differ gets a file like this one of its own.
//
// Names follow PostgreSQL's own (RM_HEAP_ID is rm::heap, XLOG_HEAP_INSERT is heap::kInsert).
#pragma once
#include <cstdint>

namespace halogen::pg15 {

// Resource managers (access/rmgrlist.h). 128..255 are custom ones, loaded by extensions.
namespace rm {
constexpr uint8_t xlog = 0;
constexpr uint8_t xact = 1;
constexpr uint8_t smgr = 2;
constexpr uint8_t clog = 3;
constexpr uint8_t dbase = 4;
constexpr uint8_t tblspc = 5;
constexpr uint8_t multixact = 6;
constexpr uint8_t relmap = 7;
constexpr uint8_t standby = 8;
constexpr uint8_t heap2 = 9;
constexpr uint8_t heap = 10;
constexpr uint8_t btree = 11;
constexpr uint8_t hash = 12;
constexpr uint8_t gin = 13;
constexpr uint8_t gist = 14;
constexpr uint8_t seq = 15;
constexpr uint8_t spgist = 16;
constexpr uint8_t brin = 17;
constexpr uint8_t commit_ts = 18;
constexpr uint8_t replorigin = 19;
constexpr uint8_t generic = 20;
constexpr uint8_t logicalmsg = 21;
constexpr uint8_t kLastBuiltin = 21;
constexpr uint8_t kFirstCustom = 128;
}  // namespace rm

// The resource manager's part of xl_info; the low bits belong to the WAL machinery.
constexpr uint8_t kRmgrInfoMask = 0xF0;

namespace xlog {
constexpr uint8_t kCheckpointShutdown = 0x00;
constexpr uint8_t kCheckpointOnline = 0x10;
constexpr uint8_t kNoop = 0x20;
constexpr uint8_t kNextOid = 0x30;
constexpr uint8_t kSwitch = 0x40;
constexpr uint8_t kParameterChange = 0x60;
constexpr uint8_t kEndOfRecovery = 0x90;
constexpr uint8_t kFpiForHint = 0xA0;
constexpr uint8_t kFpi = 0xB0;
}  // namespace xlog

namespace xact {
constexpr uint8_t kOpMask = 0x70;
constexpr uint8_t kHasInfo = 0x80;
constexpr uint8_t kCommit = 0x00;
constexpr uint8_t kPrepare = 0x10;
constexpr uint8_t kAbort = 0x20;
constexpr uint8_t kCommitPrepared = 0x30;
constexpr uint8_t kAbortPrepared = 0x40;
constexpr uint8_t kAssignment = 0x50;
constexpr uint32_t kHasDbInfo = 1u << 0;
constexpr uint32_t kHasSubxacts = 1u << 1;
constexpr uint32_t kHasRelfilenodes = 1u << 2;
constexpr uint32_t kHasInvals = 1u << 3;
constexpr uint32_t kHasTwophase = 1u << 4;
constexpr uint32_t kHasOrigin = 1u << 5;
constexpr uint32_t kHasGid = 1u << 7;
constexpr uint32_t kHasDroppedStats = 1u << 8;
constexpr uint32_t kUpdateRelcacheFile = 1u << 30;
constexpr uint32_t kInvalMessageSize = 16;
constexpr uint32_t kStatsItemSize = 12;
}  // namespace xact

namespace smgr {
constexpr uint8_t kCreate = 0x10;
constexpr uint8_t kTruncate = 0x20;
constexpr uint32_t kTruncateHeap = 1;
constexpr uint32_t kTruncateVm = 2;
constexpr uint32_t kTruncateFsm = 4;
}  // namespace smgr

namespace heap {
constexpr uint8_t kOpMask = 0x70;
constexpr uint8_t kInsert = 0x00;
constexpr uint8_t kDelete = 0x10;
constexpr uint8_t kUpdate = 0x20;
constexpr uint8_t kHotUpdate = 0x40;
constexpr uint8_t kLock = 0x60;
constexpr uint8_t kInplace = 0x70;
}  // namespace heap

namespace heap2 {
constexpr uint8_t kPrune = 0x10;
constexpr uint8_t kVacuum = 0x20;
constexpr uint8_t kFreezePage = 0x30;
constexpr uint8_t kVisible = 0x40;
constexpr uint8_t kMultiInsert = 0x50;
constexpr uint8_t kLockUpdated = 0x60;
}  // namespace heap2

namespace btree {
constexpr uint8_t kInsertLeaf = 0x00;
constexpr uint8_t kInsertUpper = 0x10;
}  // namespace btree

namespace seq {
constexpr uint8_t kLog = 0x00;
}  // namespace seq

namespace clog {
constexpr uint8_t kZeroPage = 0x00;
constexpr uint8_t kTruncate = 0x10;
}  // namespace clog

namespace commit_ts {
constexpr uint8_t kZeroPage = 0x00;
constexpr uint8_t kTruncate = 0x10;
}  // namespace commit_ts

namespace multixact {
constexpr uint8_t kZeroOffsets = 0x00;
constexpr uint8_t kZeroMembers = 0x10;
constexpr uint8_t kCreateId = 0x20;
constexpr uint8_t kTruncateId = 0x30;
}  // namespace multixact

namespace dbase {
constexpr uint8_t kCreateFileCopy = 0x00;
constexpr uint8_t kCreateWalLog = 0x10;
constexpr uint8_t kDrop = 0x20;
}  // namespace dbase

namespace tblspc {
constexpr uint8_t kCreate = 0x00;
constexpr uint8_t kDrop = 0x10;
}  // namespace tblspc

namespace replorigin {
constexpr uint8_t kSet = 0x00;
constexpr uint8_t kDrop = 0x10;
}  // namespace replorigin

namespace standby {
constexpr uint8_t kRunningXacts = 0x10;
constexpr uint8_t kInvalidations = 0x20;
}  // namespace standby

// Tablespaces that always exist.
constexpr uint32_t kDefaultTablespace = 1663;
constexpr uint32_t kGlobalTablespace = 1664;

// Transaction ids below this are special.
constexpr uint32_t kFirstNormalXid = 3;

// Entries per SLRU page.
constexpr uint32_t kClogXactsPerPage = 32768;
constexpr uint32_t kCommitTsPerPage = 819;
constexpr uint32_t kCommitTsEntrySize = 10;
constexpr uint32_t kMultiOffsetsPerPage = 2048;
constexpr uint32_t kMultiMembersPerPage = 1636;
constexpr uint32_t kMultiMembersPerGroup = 4;
constexpr uint32_t kMultiMemberGroupSize = 20;

// Visibility map: two bits per heap block, behind the page header.
constexpr uint32_t kHeapBlocksPerVmPage = 32672;

// Free space map: a binary tree per page (storage/fsm_internals.h).
constexpr uint32_t kFsmTreeOffset = 28;
constexpr uint32_t kFsmNodes = 8164;
constexpr uint32_t kFsmInnerNodes = 4095;
constexpr uint32_t kFsmSlotsPerPage = kFsmNodes - kFsmInnerNodes;

}  // namespace halogen::pg15
