// script_guard.c: an extension's script that runs with a superuser's rights meets nothing of the
// tenant who asked for it.
//
// Scripts name functions, operators and tables without their schema, and the schemas that they
// look in are the tenant's. One planted there would run as a superuser, or become part of what
// others trust. Every statement of a script passes parse analysis, also in DO blocks and in the
// definition of a view; every function that is called is looked up, also those of triggers,
// indexes and domains, before its first call.
//
// The same holds where a superuser's process works in a tenant's database and names things there:
// the launcher of pg_cron's jobs, and a session of the agent's that has said so.
#include "extension_rights.h"
#include "role_guard.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "postmaster/bgworker.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static needs_fmgr_hook_type next_needs;
static post_parse_analyze_hook_type next_analyze;

static bool platforms_only;  // halogen.platforms_only

static bool in_raised_script(void) {
  return creating_extension && superuser() && hg_works_for_tenant();
}

static bool is_job_launcher(void) {
  return MyBgworkerEntry != NULL &&
         strcmp(MyBgworkerEntry->bgw_function_name, "PgCronLauncherMain") == 0;
}

static bool is_guarded(void) { return platforms_only || is_job_launcher() || in_raised_script(); }

static void refuse(const char* kind, const char* name) {
  if (!in_raised_script())
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("%s \"%s\" is not the platform's", kind, name ? name : "?"));
  ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
          errmsg("%s \"%s\" is in the way of an extension's script", kind, name ? name : "?"),
          errdetail("The script would use it with rights that its owner does not have."),
          errhint("Create the extension in a schema of its own: CREATE EXTENSION ... SCHEMA ..."));
}

static void check_function(Oid function) {
  if (function < FirstNormalObjectId) return;
  HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return;
  const bool foreign = !superuser_arg(((Form_pg_proc)GETSTRUCT(tuple))->proowner);
  ReleaseSysCache(tuple);
  if (foreign) refuse("function", get_func_name(function));
}

static void check_operator(Oid operator) {
  if (operator<FirstNormalObjectId) return;
  HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
  if (!HeapTupleIsValid(tuple)) return;
  const bool foreign = !superuser_arg(((Form_pg_operator)GETSTRUCT(tuple))->oprowner);
  ReleaseSysCache(tuple);
  if (foreign) refuse("operator", get_opname(operator));
}

static void check_relation(Oid relation) {
  if (relation < FirstNormalObjectId) return;
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return;
  const bool foreign = !superuser_arg(((Form_pg_class)GETSTRUCT(tuple))->relowner);
  ReleaseSysCache(tuple);
  if (foreign) refuse("relation", get_rel_name(relation));
}

static bool visit_function(Oid function, void* context) {
  check_function(function);
  return false;
}

static bool visit(Node* node, void* context) {
  if (node == NULL) return false;
  switch (nodeTag(node)) {
    case T_Query: {
      ListCell* cell;
      foreach (cell, ((Query*)node)->rtable) {
        const RangeTblEntry* entry = lfirst_node(RangeTblEntry, cell);
        if (entry->rtekind == RTE_RELATION) check_relation(entry->relid);
      }
      return query_tree_walker((Query*)node, visit, context, 0);
    }
    case T_OpExpr:
    case T_DistinctExpr:
    case T_NullIfExpr:
      check_operator(((OpExpr*)node)->opno);
      break;
    case T_ScalarArrayOpExpr:
      check_operator(((ScalarArrayOpExpr*)node)->opno);
      break;
    default:
      break;
  }
  check_functions_in_node(node, visit_function, context);
  return expression_tree_walker(node, visit, context);
}

static void check_query(ParseState* state, Query* query, JumbleState* jumble) {
  if (next_analyze != NULL) next_analyze(state, query, jumble);
  if (query->commandType != CMD_UTILITY && is_guarded()) visit((Node*)query, NULL);
}

// Not to hook the function: to hear of it before it is called, or becomes part of a plan.
static bool check_lookup(Oid function) {
  if (is_guarded()) check_function(function);
  return next_needs != NULL && next_needs(function);
}

void hg_script_guard_init(void) {
  if (process_shared_preload_libraries_in_progress)
    DefineCustomBoolVariable("halogen.platforms_only", "Nothing of a tenant's is used.", NULL,
                             &platforms_only, false, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL,
                             NULL);
  next_needs = needs_fmgr_hook;
  needs_fmgr_hook = check_lookup;
  next_analyze = post_parse_analyze_hook;
  post_parse_analyze_hook = check_query;
}
