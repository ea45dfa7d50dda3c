// storage_contract.h: what every PageserverAdmin and SafekeeperAdmin does, as tests that run
// against the real ones and the fakes alike. Only tests include it.
#pragma once
#include <gtest/gtest.h>

#include "base/error.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::contract {

template <typename Call>
Errc refusal(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return Errc::internal;  // No contract names this one.
}

// Requires: `base` is a template that can be branched from at `lsn`.
inline void expect_contract(PageserverAdmin& server, TimelineId base, Lsn lsn) {
  const TenantId tenant = TenantId::random(), stranger = TenantId::random();
  const TimelineId main = TimelineId::random(), child = TimelineId::random();
  auto create = [&](TenantId owner, TimelineId id, TimelineId ancestor) {
    server.create_timeline(owner, id, ancestor, lsn, Deadline::after(std::chrono::seconds(20)));
  };
  server.delete_timeline(main);
  for (int again = 0; again < 2; ++again) {
    for (int step = 0; step < 2; ++step) create(tenant, main, base);
    EXPECT_EQ(refusal([&] { create(stranger, main, base); }), Errc::already_exists);
    create(tenant, child, main);
    EXPECT_EQ(refusal([&] { create(stranger, TimelineId::random(), main); }),
              Errc::permission_denied);
    EXPECT_EQ(refusal([&] { create(tenant, TimelineId::random(), TimelineId::random()); }),
              Errc::not_found);
    EXPECT_EQ(server.timeline(child).ancestor, main);
    EXPECT_EQ(server.moment_at(child, lsn).lsn, lsn);
    EXPECT_EQ(server.moment_at(child, lsn).commit_time, std::nullopt) << "nothing was committed";
    EXPECT_EQ(server.moment_at_time(child, INT64_MAX / 2).lsn, lsn);
    EXPECT_EQ(server.moment_at_time(child, 0).lsn, lsn);
    EXPECT_EQ(refusal([&] { server.moment_at(child, lsn - 8); }), Errc::gone);
    EXPECT_EQ(refusal([&] { server.moment_at(child, lsn + 8); }), Errc::invalid_argument);
    EXPECT_EQ(refusal([&] { server.moment_at(TimelineId::random(), lsn); }), Errc::not_found);
    EXPECT_EQ(refusal([&] { server.delete_timeline(main); }), Errc::conflict);
    EXPECT_EQ(refusal([&] { server.delete_timeline(base); }), Errc::conflict);
    for (int step = 0; step < 2; ++step) server.delete_timeline(child);
    for (int step = 0; step < 2; ++step) server.delete_timeline(main);
    EXPECT_EQ(refusal([&] { server.timeline(main); }), Errc::not_found);
    EXPECT_EQ(refusal([&] { server.attach_wal(main, "/nowhere", 1); }), Errc::not_found);
  }
}

inline void expect_contract(SafekeeperAdmin& keeper) {
  const TimelineId id = TimelineId::random();
  const Lsn start(uint64_t{5} << 24);
  keeper.delete_timeline(id);
  for (int again = 0; again < 2; ++again) {
    for (int step = 0; step < 2; ++step) keeper.create_timeline(id, start, 1);
    EXPECT_EQ(refusal([&] { keeper.create_timeline(id, start + 8, 1); }), Errc::already_exists);
    EXPECT_EQ(keeper.status(id).term, 0u);
    EXPECT_EQ(keeper.status(id).flush, start);
    EXPECT_EQ(keeper.begin_term(id, 3).end, start);
    EXPECT_EQ(keeper.status(id).term, 3u);
    EXPECT_EQ(refusal([&] { keeper.begin_term(id, 3); }), Errc::fenced);
    keeper.trim(id, start);
    keeper.stop_pull(id, 3);
    for (int step = 0; step < 2; ++step) keeper.delete_timeline(id);
    EXPECT_EQ(refusal([&] { keeper.status(id); }), Errc::not_found);
    EXPECT_EQ(refusal([&] { keeper.begin_term(id, 4); }), Errc::not_found);
    EXPECT_EQ(refusal([&] { keeper.trim(id, start); }), Errc::not_found);
    EXPECT_EQ(refusal([&] { keeper.grant_wal(id, WalConsumer::tool); }), Errc::not_found);
  }
}

}  // namespace halogen::contract
