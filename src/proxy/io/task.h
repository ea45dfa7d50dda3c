// task.h: a coroutine that another one waits for.
//
// It starts when it is awaited, and what it throws is thrown there. Whoever awaits it owns its
// frame. Loop::spawn() runs one that nobody awaits.
//
// Never make one of a lambda that captures, nor of arguments by reference that may go before it is
// done.
#pragma once
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace halogen::proxy {

namespace task_detail {

struct PromiseBase {
  // Back to who waits. There is none if it never had to wait: then that one is still running.
  struct ToWaiter {
    bool await_ready() noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept {
      return done.promise().waiter;
    }
    void await_resume() noexcept {}
  };

  std::suspend_always initial_suspend() noexcept { return {}; }
  ToWaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { failure = std::current_exception(); }
  void rethrow() const {
    if (failure) std::rethrow_exception(failure);
  }

  std::coroutine_handle<> waiter = std::noop_coroutine();
  std::exception_ptr failure;
};

template <typename T>
struct Promise : PromiseBase {
  std::coroutine_handle<Promise> get_return_object() noexcept {
    return std::coroutine_handle<Promise>::from_promise(*this);
  }
  template <typename From>
  void return_value(From&& from) {
    value.emplace(std::forward<From>(from));
  }
  T take() {
    rethrow();
    return std::move(*value);
  }

  std::optional<T> value;
};

template <>
struct Promise<void> : PromiseBase {
  std::coroutine_handle<Promise> get_return_object() noexcept {
    return std::coroutine_handle<Promise>::from_promise(*this);
  }
  void return_void() noexcept {}
  void take() const { rethrow(); }
};

}  // namespace task_detail

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = task_detail::Promise<T>;

  Task() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): how a coroutine returns itself.
  Task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    Task(std::move(other)).swap(*this);
    return *this;
  }
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  // As far as it goes without waiting it runs like any call, on the caller's stack.
  bool await_ready() const {
    coroutine_.resume();
    return coroutine_.done();
  }
  void await_suspend(std::coroutine_handle<> waiter) const noexcept {
    coroutine_.promise().waiter = waiter;
  }
  T await_resume() const { return coroutine_.promise().take(); }

 private:
  void swap(Task& other) noexcept { std::swap(coroutine_, other.coroutine_); }

  std::coroutine_handle<promise_type> coroutine_;
};

}  // namespace halogen::proxy
