// extension_rights.c: CREATE and ALTER EXTENSION for owners who are no superusers.
//
// Postgres itself does what can be done with the caller's rights: it decides about schemas, makes
// the extension the caller's, and calls the catalog's access hook just before it runs the script.
// There, and until the statement's end, an extension of the list gets a superuser's rights, as
// `trusted = true` in its control file would have given it.
#include "extension_rights.h"
#include "role_guard.h"

#include <unistd.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

typedef struct Listed {
  const char* name;
  const char* package;
  const char* library;
  bool raised;
  const char* schema;
  const char* grants;
} Listed;

static const Listed kListed[] = {
#define HALOGEN_EXTENSION(name, package, library, raised, schema, grants) \
  {name, package, library, raised, schema, grants},
#include "protocol/owner_extensions.def"
#undef HALOGEN_EXTENSION
};

static ProcessUtility_hook_type next_utility;
static object_access_hook_type next_object_access;

// The CREATE or ALTER EXTENSION that is being executed.
typedef struct Running {
  bool creates;
  Oid caller;
  int security;           // Of the caller, to go back to.
  const Listed* raised;   // Whose script has a superuser's rights; NULL before and without.
  Oid extension, schema;  // Of that one.
  int settings_level;     // Of the settings that it has.
} Running;

static Running* running;

static const Listed* find_listed(const char* name) {
  for (int i = 0; i < lengthof(kListed); ++i)
    if (strcmp(kListed[i].name, name) == 0) return &kListed[i];
  return NULL;
}

// ---- Before ----

static bool is_installed(const char* name) {
  char share[MAXPGPATH];
  get_share_path(my_exec_path, share);
  char* path = psprintf("%s/extension/%s.control", share, name);
  const bool there = access(path, R_OK) == 0;
  pfree(path);
  return there;
}

static bool is_preloaded(const char* library) {
  char* raw = pstrdup(shared_preload_libraries_string);
  List* names;
  bool found = false;
  if (SplitDirectoriesString(raw, ',', &names)) {
    ListCell* cell;
    foreach (cell, names) found |= strcmp(lfirst(cell), library) == 0;
  }
  return found;
}

static void check_there(const Listed* listed) {
  if (is_installed(listed->name)) return;
  ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
          errmsg("extension \"%s\" is not available", listed->name),
          errdetail("It is not installed on the machine on which this compute runs."),
          errhint("Its operator has to install the Debian package %s.", listed->package));
}

static void warn_if_not_preloaded(const Listed* listed) {
  if (listed->library[0] == '\0' || is_preloaded(listed->library)) return;
  ereport(WARNING, errmsg("extension \"%s\" works only with its library preloaded", listed->name),
          errhint("Add \"%s\" to the project's settings.preload_libraries by the API, and restart "
                  "the endpoint.",
                  listed->library));
}

// ---- CASCADE ----

static const DefElem* find_option(const CreateExtensionStmt* statement, const char* name) {
  ListCell* cell;
  foreach (cell, statement->options)
    if (strcmp(lfirst_node(DefElem, cell)->defname, name) == 0) return lfirst(cell);
  return NULL;
}

static bool has_cascade(const CreateExtensionStmt* statement) {
  const DefElem* option = find_option(statement, "cascade");
  return option != NULL && defGetBoolean((DefElem*)option);
}

// The names that `statement`'s extension requires in the version that it asks for, in the caller's
// memory. Every name in the query has its schema: it runs with the caller's rights and search_path.
static List* required_by(const CreateExtensionStmt* statement) {
  static const char* const kQuery =
      "SELECT r FROM pg_catalog.pg_available_extension_versions() v,"
      " pg_catalog.unnest(v.requires) r WHERE v.name OPERATOR(pg_catalog.=) $1::pg_catalog.name"
      " AND v.version OPERATOR(pg_catalog.=) coalesce($2, (SELECT e.default_version FROM"
      " pg_catalog.pg_available_extensions() e WHERE e.name OPERATOR(pg_catalog.=)"
      " $1::pg_catalog.name))";
  const DefElem* version = find_option(statement, "new_version");
  Oid types[] = {TEXTOID, TEXTOID};
  Datum values[] = {CStringGetTextDatum(statement->extname),
                    version ? CStringGetTextDatum(defGetString((DefElem*)version)) : (Datum)0};
  const char nulls[] = {' ', version ? ' ' : 'n', '\0'};
  MemoryContext caller = CurrentMemoryContext;
  List* names = NIL;
  SPI_connect();
  if (SPI_execute_with_args(kQuery, 2, types, values, nulls, true, 0) != SPI_OK_SELECT)
    elog(ERROR, "cannot find out what extension \"%s\" requires", statement->extname);
  for (uint64 i = 0; i < SPI_processed; ++i) {
    char* name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
    MemoryContext old = MemoryContextSwitchTo(caller);
    names = lappend(names, pstrdup(name));
    MemoryContextSwitchTo(old);
  }
  SPI_finish();
  return names;
}

// Each by a statement of its own, so that each is looked up in the list and has its own rights.
static void create_required(const CreateExtensionStmt* statement, const char* text,
                            QueryEnvironment* environment) {
  ListCell* cell;
  foreach (cell, required_by(statement)) {
    char* name = lfirst(cell);
    if (OidIsValid(get_extension_oid(name, true))) continue;
    check_stack_depth();
    ereport(NOTICE, errmsg("installing required extension \"%s\"", name));
    CreateExtensionStmt* required = makeNode(CreateExtensionStmt);
    required->extname = name;
    const DefElem* schema = find_option(statement, "schema");
    if (schema != NULL) required->options = lappend(required->options, copyObjectImpl(schema));
    required->options =
        lappend(required->options, copyObjectImpl(find_option(statement, "cascade")));
    PlannedStmt* plan = makeNode(PlannedStmt);
    plan->commandType = CMD_UTILITY;
    plan->canSetTag = false;
    plan->utilityStmt = (Node*)required;
    plan->stmt_location = -1;
    ProcessUtility(plan, text, false, PROCESS_UTILITY_SUBCOMMAND, NULL, environment, None_Receiver,
                   NULL);
    CommandCounterIncrement();
  }
}

// ---- Rights ----

// The name and schema of an extension as the statement that is running has left them.
static char* read_extension(Oid extension, Oid* schema) {
  Relation table = table_open(ExtensionRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(extension));
  SysScanDesc scan = systable_beginscan(table, ExtensionOidIndexId, true, SnapshotSelf, 1, &key);
  HeapTuple tuple = systable_getnext(scan);
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "there is no extension with OID %u", extension);
  const Form_pg_extension row = (Form_pg_extension)GETSTRUCT(tuple);
  char* name = pstrdup(NameStr(row->extname));
  *schema = row->extnamespace;
  systable_endscan(scan);
  table_close(table, AccessShareLock);
  return name;
}

static void refuse_place(const char* name, Oid schema) {
  ereport(
      ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
      errmsg("permission denied to create extension \"%s\" in schema \"%s\"", name,
             get_namespace_name(schema)),
      errhint("Name a schema in which you may create objects: CREATE EXTENSION ... SCHEMA ..."));
}

static void check_place(const Listed* listed, Oid schema) {
  const char* name = get_namespace_name(schema);
  if (listed->schema[0] != '\0' && name != NULL && strcmp(name, listed->schema) == 0) return;
  // Not the platform's schemas, and none that ends with the session.
  if (isAnyTempNamespace(schema) ||
      pg_namespace_aclcheck(schema, running->caller, ACL_CREATE) != ACLCHECK_OK)
    refuse_place(listed->name, schema);
}

static void raise_rights(Oid extension) {
  Oid schema;
  char* name = read_extension(extension, &schema);
  // Only by an update that requires what the version before did not.
  if (running->raised != NULL && running->extension != extension)
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("permission denied to create extension \"%s\" together with another", name),
            errhint("Create it first."));
  const Listed* listed = find_listed(name);
  if (running->raised != NULL || listed == NULL || !listed->raised) return;
  if (InSecurityRestrictedOperation()) return;
  if (pg_database_aclcheck(MyDatabaseId, running->caller, ACL_CREATE) != ACLCHECK_OK)
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("permission denied to create extension \"%s\"", name),
            errhint("Must have CREATE privilege on current database to create this extension."));
  check_place(listed, schema);
  running->raised = listed;
  running->extension = extension;
  running->schema = schema;
  SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, running->security | SECURITY_LOCAL_USERID_CHANGE);
  // All is done in this process, where the script guard knows that there is a script.
  running->settings_level = NewGUCNestLevel();
  hg_save_setting("max_parallel_workers_per_gather", "0", PGC_USERSET, BOOTSTRAP_SUPERUSERID);
  hg_save_setting("max_parallel_maintenance_workers", "0", PGC_USERSET, BOOTSTRAP_SUPERUSERID);
}

static void watch_extensions(ObjectAccessType access, Oid class, Oid object, int sub,
                             void* argument) {
  if (next_object_access != NULL) next_object_access(access, class, object, sub, argument);
  if (class != ExtensionRelationId || running == NULL) return;
  if (access == (running->creates ? OAT_POST_CREATE : OAT_POST_ALTER)) raise_rights(object);
}

// ---- What a script leaves ----

// Functions that run with their owner's rights would run with the platform's, in the search_path of
// whoever calls them: their authors did not think of that.
static void take_rights_from_functions(void) {
  static const char* const kQuery =
      "SELECT pg_catalog.format('ALTER ROUTINE %s SECURITY INVOKER', p.oid::regprocedure)"
      " FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid"
      " WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = $1 AND d.deptype = 'e'"
      " AND p.prosecdef";
  Oid types[] = {OIDOID};
  Datum values[] = {ObjectIdGetDatum(running->extension)};
  if (SPI_execute_with_args(kQuery, 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
    elog(ERROR, "cannot look at the functions of extension \"%s\"", running->raised->name);
  List* statements = NIL;
  for (uint64 i = 0; i < SPI_processed; ++i)
    statements = lappend(statements, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
  ListCell* cell;
  foreach (cell, statements)
    if (SPI_execute(lfirst(cell), false, 0) != SPI_OK_UTILITY)
      elog(ERROR, "cannot alter the functions of extension \"%s\"", running->raised->name);
}

static char* replaced(const char* pattern, const char* word, const char* name) {
  Datum result = DirectFunctionCall3Coll(replace_text, C_COLLATION_OID,
                                         CStringGetTextDatum(pattern), CStringGetTextDatum(word),
                                         CStringGetTextDatum(quote_identifier(name)));
  return TextDatumGetCString(result);
}

// Of the extension itself, as if its script had said so: a dump leaves them out, and its restore
// gives them again. So not to the creator, whose name would stay there when the role is dropped.
static void give_grants(void) {
  if (running->raised->grants[0] == '\0') return;
  if (!OidIsValid(get_role_oid("neon_superuser", true))) return;  // A server of other people's.
  const char* text =
      replaced(running->raised->grants, "@extschema@", get_namespace_name(running->schema));
  creating_extension = true;
  CurrentExtensionObject = running->extension;
  PG_TRY();
  {
    if (SPI_execute(text, false, 0) != SPI_OK_UTILITY)
      elog(ERROR, "cannot grant the rights on extension \"%s\"", running->raised->name);
  }
  PG_FINALLY();
  {
    creating_extension = false;
    CurrentExtensionObject = InvalidOid;
  }
  PG_END_TRY();
}

static void finish_script(void) {
  CommandCounterIncrement();
  const int level = NewGUCNestLevel();
  hg_save_setting("search_path", "pg_catalog, pg_temp", PGC_USERSET, BOOTSTRAP_SUPERUSERID);
  SPI_connect();
  take_rights_from_functions();
  if (running->creates) give_grants();
  SPI_finish();
  AtEOXact_GUC(true, level);
}

// ---- The statements ----

static void run_next(PlannedStmt* plan, const char* text, bool read_only_tree,
                     ProcessUtilityContext context, ParamListInfo parameters,
                     QueryEnvironment* environment, DestReceiver* destination,
                     QueryCompletion* completion) {
  (next_utility != NULL ? next_utility : standard_ProcessUtility)(
      plan, text, read_only_tree, context, parameters, environment, destination, completion);
}

// For the error that Postgres raised: "Must be superuser" is nobody here.
static void explain_refusal(const char* name, MemoryContext memory) {
  MemoryContextSwitchTo(memory);
  ErrorData* error = CopyErrorData();
  FlushErrorState();
  const Listed* listed = find_listed(name);
  if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE && listed == NULL && error->hint != NULL)
    error->hint = pstrdup(
        "It is not among the extensions that owners of databases may create: see "
        "docs/extensions.md "
        "of Halogen.");
  ReThrowError(error);
}

// Runs it with what `running` says of it, and ends with the caller's rights again. An error ends
// them by the end of the transaction or subtransaction.
static void run_guarded(PlannedStmt* plan, const char* text, bool read_only_tree,
                        ProcessUtilityContext context, ParamListInfo parameters,
                        QueryEnvironment* environment, DestReceiver* destination,
                        QueryCompletion* completion, Running* mine) {
  Running* const outer = running;
  GetUserIdAndSecContext(&mine->caller, &mine->security);
  MemoryContext memory = CurrentMemoryContext;
  running = mine;
  PG_TRY();
  {
    run_next(plan, text, read_only_tree, context, parameters, environment, destination, completion);
    if (mine->raised != NULL) {
      finish_script();
      AtEOXact_GUC(true, mine->settings_level);
      SetUserIdAndSecContext(mine->caller, mine->security);
    }
    running = outer;
  }
  PG_CATCH();
  {
    running = outer;
    if (mine->creates) explain_refusal(((CreateExtensionStmt*)plan->utilityStmt)->extname, memory);
    PG_RE_THROW();
  }
  PG_END_TRY();
}

static void prepare_creation(PlannedStmt* plan, const char* text, QueryEnvironment* environment) {
  const CreateExtensionStmt* statement = (const CreateExtensionStmt*)plan->utilityStmt;
  if (OidIsValid(get_extension_oid(statement->extname, true))) return;
  const Listed* listed = find_listed(statement->extname);
  if (listed != NULL) check_there(listed);
  if (listed != NULL) warn_if_not_preloaded(listed);
  if (listed != NULL && has_cascade(statement) && is_installed(listed->name))
    create_required(statement, text, environment);
}

static void run_utility(PlannedStmt* plan, const char* text, bool read_only_tree,
                        ProcessUtilityContext context, ParamListInfo parameters,
                        QueryEnvironment* environment, DestReceiver* destination,
                        QueryCompletion* completion) {
  const NodeTag tag = nodeTag(plan->utilityStmt);
  const bool creates = tag == T_CreateExtensionStmt;
  if ((!creates && tag != T_AlterExtensionStmt) || superuser()) {
    run_next(plan, text, read_only_tree, context, parameters, environment, destination, completion);
    return;
  }
  if (creates) prepare_creation(plan, text, environment);
  Running mine = {.creates = creates};
  run_guarded(plan, text, read_only_tree, context, parameters, environment, destination, completion,
              &mine);
}

void hg_extension_rights_init(void) {
  next_utility = ProcessUtility_hook;
  ProcessUtility_hook = run_utility;
  next_object_access = object_access_hook;
  object_access_hook = watch_extensions;
  hg_script_guard_init();
}
