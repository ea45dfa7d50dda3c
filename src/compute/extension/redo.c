// redo.c: takes a stand-alone postgres over and answers redo requests until its input ends.
//
// The hook runs at the end of shared memory's creation: there are buffers, locks and a PGPROC to be
// had, and the control file's contents, WAL and catalogs have not been looked at. It never returns.
#include "redo.h"

#include <dirent.h>
#include <setjmp.h>
#include <sys/uio.h>

#include "storage/dsm_impl.h"

#define READ_AHEAD (256u << 10)

// One contiguous window of the input: from `start` to `end` not yet consumed.
static char* input;
static Size input_size;
static Size input_start = 0;
static Size input_end = 0;

static MemoryContext request_context;
static uint32 record_index = 0;  // For error replies.

static void send_reply(uint16 status, uint32 detail, const void* body, uint32 size) {
  RedoReply reply = {REDO_REPLY_MAGIC, status, 0, detail, size};
  struct iovec parts[2] = {{&reply, sizeof reply}, {(void*)body, size}};
  int first = 0;

  while (first < 2) {
    ssize_t done = writev(STDOUT_FILENO, parts + first, 2 - first);

    if (done < 0 && errno == EINTR) continue;
    if (done < 0) _exit(1);  // The pageserver has gone.
    for (; first < 2 && (size_t)done >= parts[first].iov_len; first++) done -= parts[first].iov_len;
    if (first < 2) {
      parts[first].iov_base = (char*)parts[first].iov_base + done;
      parts[first].iov_len -= done;
    }
  }
}

static void send_text(uint16 status, uint32 detail, const char* text) {
  send_reply(status, detail, text, (uint32)strnlen(text, REDO_MAX_ERROR));
}

static void pg_attribute_noreturn() end_with(const char* text) {
  send_text(REDO_FAILED, record_index, text);
  _exit(1);
}

// Allocates nothing: there may be no memory.
static void end_if_short_of_resources(int sqlerrcode) {
  if (ERRCODE_TO_CATEGORY(sqlerrcode) != ERRCODE_INSUFFICIENT_RESOURCES) return;
  send_text(REDO_SHORT, record_index, "out of memory or of another resource");
  _exit(1);
}

static void make_room(Size wanted) {
  if (input_start > 0) {
    memmove(input, input + input_start, input_end - input_start);
    input_end -= input_start;
    input_start = 0;
  }
  if (wanted <= input_size) return;
  input_size = wanted + READ_AHEAD;
  input = repalloc_huge(input, input_size);
}

// The next `wanted` bytes; they stay where they are until more are asked for. NULL at the end.
static const char* peek(Size wanted) {
  while (input_end - input_start < wanted) {
    ssize_t got;

    if (input_start + wanted > input_size || input_end == input_size) make_room(wanted);
    got = read(STDIN_FILENO, input + input_end, input_size - input_end);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) end_with("cannot read requests");
    if (got == 0) return NULL;
    input_end += (Size)got;
  }
  return input + input_start;
}

static void consume(Size size) {
  input_start += size;
  if (input_start == input_end) input_start = input_end = 0;
}

static void check_request(const RedoRequest* request) {
  if (request->magic != REDO_REQUEST_MAGIC) end_with("not a redo request");
  if (request->size > REDO_MAX_REQUEST || request->size % 8 != 0) end_with("bad request size");
  if (request->fork > MAX_FORKNUM || request->block > MaxBlockNumber)
    end_with("the request names no block");
}

// A parser's view of the request's body.
typedef struct Body {
  const char* at;
  Size left;
} Body;

static const char* take(Body* body, Size size) {
  const char* taken = body->at;
  Size padded = TYPEALIGN(8, size);

  if (padded > body->left) end_with("the request is shorter than it says");
  body->at += padded;
  body->left -= padded;
  return taken;
}

static const char* replay_records(RedoTarget* target, uint32 records, Body* body) {
  for (record_index = 0; record_index < records; record_index++) {
    const RedoRecordHeader* header = (const RedoRecordHeader*)take(body, sizeof *header);
    const char* record = take(body, header->size);
    const char* why = hg_replay_record(target, header->end_lsn, record, header->size);

    if (why != NULL) return why;
  }
  record_index = 0;
  return body->left == 0 ? NULL : "the request is longer than it says";
}

// What redo found missing is kept by Postgres until consistency; it is ours to forget.
static bool pages_were_missing(const RedoTarget* target) {
  if (!XLogHaveInvalidPages()) return false;
  XLogDropRelation(target->rel, target->fork);
  if (XLogHaveInvalidPages()) end_with("records of a page that was never made");
  return true;
}

static void answer(const RedoRequest* request) {
  Body body = {(const char*)(request + 1), request->size};
  RedoTarget target = {hg_relation(request->spc, request->db, request->rel),
                       (ForkNumber)request->fork, request->block, InvalidBuffer};
  const char* why;
  Page page;

  hg_open_relation(target.rel);
  if (request->flags & REDO_HAS_BASE)
    target.base = hg_place_base(target.rel, target.fork, target.block, take(&body, BLCKSZ));
  why = replay_records(&target, request->records, &body);
  if (pages_were_missing(&target) && why == NULL) why = "the records need a page to start from";
  page = hg_find_page(target.rel, target.fork, target.block);
  if (why == NULL && page == NULL) why = "the records do not make the page";
  if (why != NULL)
    send_text(REDO_REFUSED, record_index, why);
  else
    send_reply(REDO_PAGE, request->records, page, BLCKSZ);
}

static void probe_sandbox(void) {
  int fd = open("/etc/passwd", O_RDONLY);

  end_with(fd >= 0 ? "the sandbox is off" : "the sandbox is not strict");
}

static void pg_attribute_noreturn() serve(void) {
  const char* bytes;

  while ((bytes = peek(sizeof(RedoRequest))) != NULL) {
    Size size = sizeof(RedoRequest) + ((const RedoRequest*)bytes)->size;

    check_request((const RedoRequest*)bytes);
    if ((bytes = peek(size)) == NULL) break;
    if (((const RedoRequest*)bytes)->flags & REDO_PROBE_SANDBOX) probe_sandbox();
    answer((const RedoRequest*)bytes);
    consume(size);
    hg_wipe_buffers(NULL);
    MemoryContextReset(request_context);
  }
  _exit(0);
}

// The reply is all that an error leaves: locks, pins and fake relcache entries are as they were
// when it was raised, so the process cannot go on.
static void pg_attribute_noreturn() report_error(void) {
  ErrorData* error;

  error_context_stack = NULL;
  PG_exception_stack = NULL;
  end_if_short_of_resources(geterrcode());
  MemoryContextSwitchTo(TopMemoryContext);
  error = CopyErrorData();
  end_with(error->message != NULL ? error->message : "unknown error");
}

// A want of memory in a critical section is a PANIC, and one while an error is reported is FATAL:
// neither is caught, but both are logged first.
static void see_fatal_error(ErrorData* error) {
  if (error->elevel >= FATAL) end_if_short_of_resources(error->sqlerrcode);
}

static void remove_files_in(const char* folder) {
  DIR* dir = opendir(folder);
  struct dirent* entry;

  if (dir == NULL) return;
  while ((entry = readdir(dir)) != NULL) {
    char path[MAXPGPATH];

    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    unlink(path);
  }
  closedir(dir);
}

// Nobody will run the exit callbacks that would do this.
static void leave_no_traces(void) {
  int segment = hg_interlock_segment();

  if (segment >= 0) shmctl(segment, IPC_RMID, NULL);
  unlink("postmaster.pid");
  remove_files_in(PG_DYNSHMEM_DIR);
}

static void init_redo(void) {
  hg_backend_init();
  InRecovery = true;
  CurrentResourceOwner = ResourceOwnerCreate(NULL, "halogen redo");
  hg_buffers_init();
  hg_replay_init();
  input_size = READ_AHEAD;
  input = MemoryContextAlloc(TopMemoryContext, input_size);
  // Outlives requests: the access methods keep their working contexts in it.
  MemoryContextSwitchTo(TopMemoryContext);
  RmgrStartup();
  request_context =
      AllocSetContextCreate(TopMemoryContext, "halogen redo request", ALLOCSET_DEFAULT_SIZES);
  MemoryContextSwitchTo(request_context);
}

static void take_over(void) {
  sigjmp_buf on_error;

  leave_no_traces();
  if (sigsetjmp(on_error, 0) != 0) report_error();
  PG_exception_stack = &on_error;
  init_redo();
  hg_enter_sandbox();
  emit_log_hook = see_fatal_error;
  send_reply(REDO_READY, REDO_VERSION, NULL, 0);
  serve();
}

void hg_redo_install(void) { shmem_startup_hook = take_over; }
