// parse_settings.h: settings that have no say in what a statement's text means.
//
// PostgreSQL settles that when the statement is parsed: literals become values by the settings of
// that moment. A statement that is parsed anew, on another connection, is therefore parsed under
// the settings that its session had then; all but these, which neither the parser nor the analysis
// nor an input function of a type reads. What is not listed counts. Each line's reason; the test is
// tests/session/test_parsing.py.
//
// A '*' at the end stands for any rest. Plain C, for the extension.
#ifndef HALOGEN_PROTOCOL_PARSE_SETTINGS_H
#define HALOGEN_PROTOCOL_PARSE_SETTINGS_H

#define HALOGEN_HARMLESS_AT_PARSE                                                                \
  /* Custom ones: read by current_setting() alone, which is never evaluated before execution. */ \
  "*.*", /* Who speaks, and what is told, logged and counted. */                                 \
      "application_name", "client_min_messages", "log_*", "track_*", "lc_messages",              \
      "update_process_title", "compute_query_id", /* How long, and how safe. */                  \
      "statement_timeout", "lock_timeout", "idle_*", "transaction_timeout", "deadlock_timeout",  \
      "tcp_*", "client_connection_check_interval", "synchronous_commit",                         \
      "commit_*",                                        /* Transactions. */                     \
      "default_transaction_*", "transaction_*",          /* How values are shown. */             \
      "extra_float_digits", "bytea_output", "xmlbinary", /* The planner and the executor. */     \
      "enable_*", "work_mem", "hash_mem_multiplier", "maintenance_work_mem", "temp_buffers",     \
      "temp_file_limit", "random_page_cost", "seq_page_cost", "cpu_*", "effective_*", "jit",     \
      "jit_*", "geqo", "geqo_*", "*parallel*", "plan_cache_mode", "join_collapse_limit",         \
      "from_collapse_limit", "constraint_exclusion", "cursor_tuple_fraction",                    \
      "default_statistics_target", "vacuum_*", "recursive_worktable_factor"

#endif
