// Our constants against the server's own headers, where they are installed.
#include "postgres/pg15.h"

#include <gtest/gtest.h>

#include "postgres/major.h"
#include "postgres/stock_cluster.h"

namespace halogen {
namespace {

// What the server's headers say: the values of C expressions, one a line.
std::vector<long> ask_headers(const std::vector<std::string>& expressions) {
  fs::path folder = "/tmp/halogen-headers-" + random_name(10);
  fs::create_directory(folder);
  std::string code =
      "#include \"postgres.h\"\n#include <stddef.h>\n#include <stdio.h>\n"
      "#include \"access/clog.h\"\n#include \"access/commit_ts.h\"\n#include "
      "\"access/heapam_xlog.h\"\n"
      "#include \"access/multixact.h\"\n#include \"access/rmgr.h\"\n#include \"access/xact.h\"\n"
      "#include \"access/xlog_internal.h\"\n#include \"catalog/catversion.h\"\n"
      "#include \"catalog/pg_control.h\"\n#include \"catalog/storage_xlog.h\"\n"
      "#include \"commands/dbcommands_xlog.h\"\n#include \"storage/fsm_internals.h\"\n"
      "#include \"storage/standbydefs.h\"\n#include \"replication/origin.h\"\n\n#undef printf\nint "
      "main(void) {\n";
  for (const std::string& e : expressions) code += "printf(\"%ld\\n\", (long) (" + e + "));\n";
  write_file(folder / "ask.c", code + "return 0; }\n");
  std::string include =
      testing::run(std::string(testing::kPostgresBin) + "pg_config --includedir-server");
  include.pop_back();
  testing::run(fmt::format("clang-19 -w -I{} {}/ask.c -o {}/ask", include, folder.string(),
                           folder.string()));
  std::string out = testing::run((folder / "ask").string());
  fs::remove_all(folder);
  std::vector<long> values;
  for (size_t at = 0; at < out.size(); at = out.find('\n', at) + 1)
    values.push_back(std::stol(out.substr(at)));
  return values;
}

TEST(Pg15, ConstantsAreThoseOfTheServersHeaders) {
  if (!fs::exists(std::string(testing::kPostgresBin) + "pg_config"))
    GTEST_SKIP() << "postgresql-server-dev-15 is not installed";
  using namespace pg15;
  const std::vector<std::pair<std::string, long>> kFacts = {
      {"XLOG_PAGE_MAGIC", kMajor15.wal_page_magic},
      {"PG_CONTROL_VERSION", kMajor15.control_version},
      {"CATALOG_VERSION_NO", kMajor15.catalog_version},
      {"sizeof(CheckPoint)", static_cast<long>(kMajor15.checkpoint_size)},
      {"RM_MAX_BUILTIN_ID", kMajor15.last_builtin_rmgr},
      {"RM_MIN_CUSTOM_ID", rm::kFirstCustom},
      {"RM_HEAP2_ID", rm::heap2},
      {"RM_COMMIT_TS_ID", rm::commit_ts},
      {"RM_REPLORIGIN_ID", rm::replorigin},
      {"RM_SEQ_ID", rm::seq},
      {"XLOG_PARAMETER_CHANGE", xlog::kParameterChange},
      {"XLOG_FPI_FOR_HINT", xlog::kFpiForHint},
      {"XLOG_SWITCH", xlog::kSwitch},
      {"XLOG_XACT_ABORT_PREPARED", xact::kAbortPrepared},
      {"XACT_XINFO_HAS_DROPPED_STATS", xact::kHasDroppedStats},
      {"XACT_COMPLETION_UPDATE_RELCACHE_FILE", xact::kUpdateRelcacheFile},
      {"sizeof(xl_xact_stats_item)", xact::kStatsItemSize},
      {"sizeof(SharedInvalidationMessage)", xact::kInvalMessageSize},
      {"offsetof(xl_heap_insert, flags)", 2},
      {"offsetof(xl_heap_multi_insert, flags)", 0},
      {"offsetof(xl_heap_delete, flags)", 7},
      {"offsetof(xl_heap_update, flags)", 7},
      {"offsetof(xl_heap_lock, flags)", 7},
      {"offsetof(xl_heap_lock_updated, flags)", 7},
      {"offsetof(xl_heap_visible, flags)", 4},
      {"XLOG_HEAP2_LOCK_UPDATED", heap2::kLockUpdated},
      {"sizeof(MultiXactMember)", 8},
      {"offsetof(xl_running_xacts, nextXid)", 12},
      {"offsetof(xl_invalidations, relcacheInitFileInval)", 8},
      {"offsetof(xl_replorigin_set, force)", 10},
      {"XLOG_DBASE_DROP", dbase::kDrop},
      {"offsetof(FSMPageData, fp_nodes) + SizeOfPageHeaderData", kFsmTreeOffset},
      {"NodesPerPage", kFsmNodes},
      {"NonLeafNodesPerPage", kFsmInnerNodes},
      {"SlotsPerFSMPage", kFsmSlotsPerPage},
  };
  std::vector<std::string> expressions;
  for (const auto& [expression, value] : kFacts) expressions.push_back(expression);
  std::vector<long> values = ask_headers(expressions);
  ASSERT_EQ(values.size(), kFacts.size());
  for (size_t i = 0; i < kFacts.size(); ++i)
    EXPECT_EQ(values[i], kFacts[i].second) << kFacts[i].first;
}

}  // namespace
}  // namespace halogen
