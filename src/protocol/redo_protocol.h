// redo_protocol.h: how the pageserver talks to one redo process, over its standard input and
// output.
//
// Plain C: the process is stock postgres with our extension inside. All integers are little-endian,
// all structs packed as they stand, every part is padded with zeros to a multiple of 8 bytes.
//
// The process first writes a RedoReply with status REDO_READY (body: none) once it is sandboxed.
// Then each request is a RedoRequest, the base page if REDO_HAS_BASE is set, and `records` times a
// RedoRecordHeader followed by the record's bytes, oldest record first. It is answered, in order,
// by a RedoReply followed by `body` bytes: with REDO_PAGE the page, else an error text. Requests
// may be pipelined. After REDO_FAILED and REDO_SHORT the process ends: Postgres raised an error
// half-way and its state is not to be trusted. At the end of its input it ends too.
#ifndef HALOGEN_PROTOCOL_REDO_PROTOCOL_H
#define HALOGEN_PROTOCOL_REDO_PROTOCOL_H

#include <stdint.h>

#define REDO_REQUEST_MAGIC 0x51524748u  // "HGRQ"
#define REDO_REPLY_MAGIC 0x50524748u    // "HGRP"
#define REDO_VERSION 1u
#define REDO_PAGE_SIZE 8192u
#define REDO_MAX_REQUEST (16u << 20)  // Of RedoRequest.size; longer chains are replayed in steps.
#define REDO_MAX_ERROR 512u

enum {
  REDO_HAS_BASE = 1,
  // Tries to open a file instead of replaying. The sandbox must end the process for it; an answer
  // means that the sandbox is off.
  REDO_PROBE_SANDBOX = 2,
};

enum {
  REDO_READY = 0,    // Sent once; `detail` is REDO_VERSION.
  REDO_PAGE = 1,     // The page follows.
  REDO_REFUSED = 2,  // The request makes no page; `detail` is the record's index. Goes on.
  REDO_FAILED = 3,   // Postgres raised an error at record `detail`; the process ends.
  REDO_SHORT = 4,    // As REDO_FAILED, for want of memory or the like: no verdict on the records.
};

typedef struct RedoRequest {
  uint32_t magic;
  uint32_t size;  // Bytes that follow this struct, a multiple of 8.
  uint32_t spc;
  uint32_t db;
  uint32_t rel;
  uint32_t block;
  uint16_t fork;
  uint16_t flags;
  uint32_t records;
} RedoRequest;

typedef struct RedoRecordHeader {
  uint64_t end_lsn;
  uint32_t size;  // Of the record: its xl_tot_len.
  uint32_t unused;
} RedoRecordHeader;

typedef struct RedoReply {
  uint32_t magic;
  uint16_t status;
  uint16_t unused;
  uint32_t detail;
  uint32_t body;  // Bytes that follow; not padded.
} RedoReply;

#endif
