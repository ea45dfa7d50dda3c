// role_guard.c: roles and files that are the platform's, kept from every login but a superuser's.
//
// CREATEROLE, which the owner of a project has, is enough in PostgreSQL 15 to give oneself the
// roles that read and write the server's files and run its programs. Every syntax that gives a
// membership is one of three statements; changes of a role itself end in the catalog's own access
// hook.
#include "role_guard.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_db_role_setting.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"

// Created with the template cluster (compute/agent/template.cc): what an owner is a member of.
static const char* const kOwnersGroup = "neon_superuser";

static ProcessUtility_hook_type next_utility;
static object_access_hook_type next_object_access;

bool hg_works_for_tenant(void) {
  if (!superuser_arg(GetAuthenticatedUserId())) return true;
  return (InLocalUserIdChange() || InSecurityRestrictedOperation()) && !superuser();
}

// ---- Which roles ----

// Whether members of `role` may reach the server's files or programs, directly or by a chain.
static bool reaches_server(Oid role) {
  return is_member_of_role_nosuper(role, ROLE_PG_READ_SERVER_FILES) ||
         is_member_of_role_nosuper(role, ROLE_PG_WRITE_SERVER_FILES) ||
         is_member_of_role_nosuper(role, ROLE_PG_EXECUTE_SERVER_PROGRAM);
}

static bool is_platform_role(Oid role) {
  return superuser_arg(role) || role == get_role_oid(kOwnersGroup, true);
}

static void refuse_server_access(Oid role) {
  if (!OidIsValid(role) || !reaches_server(role)) return;
  ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
          errmsg("permission denied to grant role \"%s\"", GetUserNameFromId(role, true)),
          errdetail("It reaches the server's files and programs, which are the platform's."),
          errhint("Use COPY ... FROM STDIN or TO STDOUT, or psql's \\copy."));
}

static void refuse_platform_role(Oid role) {
  if (!OidIsValid(role) || !is_platform_role(role)) return;
  ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
          errmsg("permission denied: role \"%s\" is the platform's", GetUserNameFromId(role, true)),
          errhint("Create a role of your own, and grant it what it needs."));
}

// ---- Memberships ----

static void check_members(const List* specs) {
  ListCell* cell;
  foreach (cell, specs) refuse_platform_role(get_rolespec_oid(lfirst_node(RoleSpec, cell), true));
}

static void check_grant(const Node* node) {
  const GrantRoleStmt* statement = (const GrantRoleStmt*)node;
  ListCell* cell;
  if (statement->is_grant)
    foreach (cell, statement->granted_roles)
      refuse_server_access(get_role_oid(lfirst_node(AccessPriv, cell)->priv_name, true));
  check_members(statement->grantee_roles);
}

// Options of CREATE ROLE, USER and GROUP, and of ALTER GROUP ... ADD and DROP USER.
static void check_role_options(const List* options) {
  ListCell* cell;
  foreach (cell, options) {
    const DefElem* option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "addroleto") == 0) {
      ListCell* group;
      foreach (group, (const List*)option->arg)
        refuse_server_access(get_rolespec_oid(lfirst_node(RoleSpec, group), true));
    } else if (strcmp(option->defname, "rolemembers") == 0 ||
               strcmp(option->defname, "adminmembers") == 0) {
      check_members((const List*)option->arg);
    }
  }
}

static void check_create_role(const Node* node) {
  check_role_options(((const CreateRoleStmt*)node)->options);
}

static void check_alter_role(const Node* node) {
  const AlterRoleStmt* statement = (const AlterRoleStmt*)node;
  if (statement->action > 0) refuse_server_access(get_rolespec_oid(statement->role, true));
  check_role_options(statement->options);
}

// ---- Other statements ----

// COMMENT and SECURITY LABEL reach no access hook.
static void check_comment(const Node* node) {
  const CommentStmt* statement = (const CommentStmt*)node;
  if (statement->objtype == OBJECT_ROLE)
    refuse_platform_role(get_role_oid(strVal(statement->object), true));
}

static void check_label(const Node* node) {
  const SecLabelStmt* statement = (const SecLabelStmt*)node;
  if (statement->objtype == OBJECT_ROLE)
    refuse_platform_role(get_role_oid(strVal(statement->object), true));
}

static void check_drop_owned(const Node* node) {
  check_members(((const DropOwnedStmt*)node)->roles);
}

static void check_reassign_owned(const Node* node) {
  check_members(((const ReassignOwnedStmt*)node)->roles);
}

// Whatever memberships there are: an old database may have some that nobody could get today.
static void check_copy(const Node* node) {
  const CopyStmt* statement = (const CopyStmt*)node;
  if (statement->filename == NULL) return;
  ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
          errmsg("permission denied to COPY to or from a %s of the server",
                 statement->is_program ? "program" : "file"),
          errhint("Use COPY ... FROM STDIN or TO STDOUT, or psql's \\copy."));
}

static void check_alter_system(const Node* node) {
  ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
          errmsg("permission denied: ALTER SYSTEM is not available"),
          errhint("Use ALTER ROLE ... SET or ALTER DATABASE ... SET; what counts from the server's "
                  "start on is in the endpoint's pg_settings of the API."));
}

static const struct {
  NodeTag tag;
  void (*check)(const Node*);
} kChecks[] = {
    {T_GrantRoleStmt, check_grant},
    {T_CreateRoleStmt, check_create_role},
    {T_AlterRoleStmt, check_alter_role},
    {T_CommentStmt, check_comment},
    {T_SecLabelStmt, check_label},
    {T_DropOwnedStmt, check_drop_owned},
    {T_ReassignOwnedStmt, check_reassign_owned},
    {T_CopyStmt, check_copy},
    {T_AlterSystemStmt, check_alter_system},
};

static void guard_utility(PlannedStmt* plan, const char* text, bool read_only_tree,
                          ProcessUtilityContext context, ParamListInfo parameters,
                          QueryEnvironment* environment, DestReceiver* destination,
                          QueryCompletion* completion) {
  const NodeTag tag = nodeTag(plan->utilityStmt);
  for (int i = 0; i < lengthof(kChecks); ++i)
    if (kChecks[i].tag == tag && hg_works_for_tenant()) kChecks[i].check(plan->utilityStmt);
  (next_utility != NULL ? next_utility : standard_ProcessUtility)(
      plan, text, read_only_tree, context, parameters, environment, destination, completion);
}

// ---- Changes of a role, and functions that reach files ----

static void check_changed(ObjectAccessType access, Oid class, Oid object, void* argument) {
  if (access != OAT_POST_ALTER && access != OAT_DROP) return;
  if (class == AuthIdRelationId && hg_works_for_tenant()) refuse_platform_role(object);
  if (class == DbRoleSettingRelationId && access == OAT_POST_ALTER && argument != NULL &&
      hg_works_for_tenant())
    refuse_platform_role(((ObjectAccessPostAlter*)argument)->auxiliary_id);
}

static void check_function(Oid function) {
  if (hg_reads_or_writes_files(function)) {
    if (!hg_works_for_tenant()) return;
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("permission denied for a function that reaches files of the server"),
            errhint("Send data over the connection: COPY ... FROM STDIN, or the client's large "
                    "object functions."));
  }
  if (hg_moves_slot(function) && hg_works_for_tenant()) hg_check_slot_function();
}

static void guard_object_access(ObjectAccessType access, Oid class, Oid object, int sub,
                                void* argument) {
  if (next_object_access != NULL) next_object_access(access, class, object, sub, argument);
  if (access == OAT_FUNCTION_EXECUTE)
    check_function(object);
  else
    check_changed(access, class, object, argument);
}

static bool layer_is_out(void) {
  const char* out = getenv("HALOGEN_UNSAFE_WITHOUT");  // kWithoutLayers of protocol/isolation.h.
  return out != NULL && strstr(out, "role_guard") != NULL;
}

void hg_role_guard_init(void) {
  if (layer_is_out()) return;
  next_utility = ProcessUtility_hook;
  ProcessUtility_hook = guard_utility;
  next_object_access = object_access_hook;
  object_access_hook = guard_object_access;
  hg_replication_guard_init();
  // Nobody makes a setting halogen.x that a library of another build would take for its own.
  MarkGUCPrefixReserved("halogen");
}
