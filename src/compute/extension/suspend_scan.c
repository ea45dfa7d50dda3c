// suspend_scan.c: finds the relation files of the data directory.
//
// Folders are read by system calls, not through the C library: there the shim would make the files
// that no one has touched yet, and those are just what we want to leave out.
#include "suspend.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "catalog/pg_tablespace_d.h"

typedef struct Scan {
  RelationFileVisitor visit;
  void* context;
  Oid spc;
  Oid db;
} Scan;

typedef void (*NameVisitor)(Scan* scan, const char* folder, const char* name);

// As the kernel returns it.
typedef struct KernelEntry {
  uint64 inode;
  int64 offset;
  uint16 size;
  uint8 type;
  char name[FLEXIBLE_ARRAY_MEMBER];
} KernelEntry;

// All names first, then the visits: these may create and remove files.
static List* names_in(const char* folder) {
  char buffer[16384] __attribute__((aligned(8)));
  List* names = NIL;
  long got;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

  if (fd < 0 && errno == ENOENT) return NIL;
  if (fd < 0)
    ereport(ERROR,
            (errcode_for_file_access(), errmsg("could not open directory \"%s\": %m", folder)));
  while ((got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < got;) {
      const KernelEntry* entry = (const KernelEntry*)(buffer + at);

      if (entry->name[0] != '.') names = lappend(names, pstrdup(entry->name));
      at += entry->size;
    }
  }
  syscall(SYS_close, fd);
  if (got < 0)
    ereport(ERROR,
            (errcode_for_file_access(), errmsg("could not read directory \"%s\": %m", folder)));
  return names;
}

static void for_each_name(Scan* scan, const char* folder, NameVisitor visit) {
  List* names = names_in(folder);
  ListCell* cell;

  foreach (cell, names) {
    CHECK_FOR_INTERRUPTS();
    visit(scan, folder, lfirst(cell));
  }
  list_free_deep(names);
}

// InvalidOid unless the whole name is a number.
static Oid as_oid(const char* name) {
  size_t digits = strspn(name, "0123456789");

  return digits > 0 && digits <= 10 && name[digits] == '\0' ? (Oid)strtoul(name, NULL, 10)
                                                            : InvalidOid;
}

static void visit_file(Scan* scan, const char* folder, const char* name) {
  char path[MAXPGPATH];
  char digits[OIDCHARS + 1] = {0};
  const char* dot = strchr(name, '.');
  RelationFile file;
  int length;

  if (!hg_parse_file_name(name, &length, &file.fork)) return;
  memcpy(digits, name, (size_t)length);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  file.rel = hg_relation(scan->spc, scan->db, as_oid(digits));
  file.segment = dot != NULL ? as_oid(dot + 1) : 0;
  file.path = path;
  if (OidIsValid(as_oid(digits))) scan->visit(&file, scan->context);
}

static void visit_database(Scan* scan, const char* folder, const char* name) {
  char path[MAXPGPATH];

  scan->db = as_oid(name);
  if (!OidIsValid(scan->db)) return;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  for_each_name(scan, path, visit_file);
}

static void visit_tablespace(Scan* scan, const char* folder, const char* name) {
  char path[MAXPGPATH];

  scan->spc = as_oid(name);
  if (!OidIsValid(scan->spc)) return;
  snprintf(path, sizeof path, "%s/%s/%s", folder, name, TABLESPACE_VERSION_DIRECTORY);
  for_each_name(scan, path, visit_database);
}

void hg_scan_relation_files(RelationFileVisitor visit, void* context) {
  Scan scan = {visit, context, GLOBALTABLESPACE_OID, InvalidOid};

  for_each_name(&scan, "global", visit_file);
  scan.spc = DEFAULTTABLESPACE_OID;
  for_each_name(&scan, "base", visit_database);
  for_each_name(&scan, "pg_tblspc", visit_tablespace);
}
