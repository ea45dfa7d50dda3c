// asio.h: the parts of Asio we use. Costs seconds to compile: only for the .cc files of sessions.
//
// Asio 1.22 looks for clang's old experimental coroutines; we tell it to use the standard ones.
#pragma once
#define ASIO_STANDALONE
#define ASIO_NO_DEPRECATED
#define ASIO_HAS_CO_AWAIT
#define ASIO_HAS_STD_COROUTINE
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>

namespace halogen::proxy {

template <typename T>
using Task = asio::awaitable<T>;
using Socket = asio::generic::stream_protocol::socket;

}  // namespace halogen::proxy
