// A test harness of one header, and main(): each test is one executable.
// Ours, since no C++ test framework is on PyPI and the tests may need nothing that pip cannot
// bring.
#pragma once

#include <cmath>
#include <exception>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace check {

inline int failures = 0;

inline std::vector<std::pair<std::string, std::function<void()>>>& tests() {
  static std::vector<std::pair<std::string, std::function<void()>>> all;
  return all;
}

struct Register {
  Register(const char* name, std::function<void()> body) { tests().emplace_back(name, body); }
};

inline void fail(const char* file, int line, const std::string& what) {
  if (++failures <= 20) std::cerr << file << ":" << line << ": " << what << "\n";
}

inline void near(const char* file, int line, const char* text, double actual, double expected,
                 double tolerance) {
  if (std::fabs(actual - expected) <= tolerance) return;  // false for NaN
  std::ostringstream what;
  what.precision(10);
  what << text << " is " << actual << ", expected " << expected << " +- " << tolerance;
  fail(file, line, what.str());
}

template <typename Exception, typename Body>
void throws(const char* file, int line, const char* text, const std::string& part, Body body) {
  try {
    body();
  } catch (const Exception& error) {
    if (std::string(error.what()).find(part) != std::string::npos) return;
    return fail(file, line, std::string(text) + " says '" + error.what() + "', not '" + part + "'");
  } catch (const std::exception& error) {
    return fail(file, line, std::string(text) + " throws another type: " + error.what());
  }
  fail(file, line, std::string(text) + " does not throw");
}

}  // namespace check

#define TEST(name)                                                  \
  static void test_##name();                                        \
  static const check::Register register_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) check::fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)

// Shows both values; for numbers, strings and whatever can be printed.
#define CHECK_EQUAL(actual, expected)                                                  \
  do {                                                                                 \
    const auto check_actual = (actual);                                                \
    const auto check_expected = (expected);                                            \
    if (!(check_actual == check_expected)) {                                           \
      std::ostringstream check_what;                                                   \
      check_what << #actual " is " << check_actual << ", expected " << check_expected; \
      check::fail(__FILE__, __LINE__, check_what.str());                               \
    }                                                                                  \
  } while (false)

#define CHECK_NEAR(actual, expected, tolerance) \
  check::near(__FILE__, __LINE__, #actual, (actual), (expected), (tolerance))

#define CHECK_THROWS(expression, type, part) \
  check::throws<type>(__FILE__, __LINE__, #expression, part, [&] { (void)(expression); })

int main() {
  for (const auto& [name, body] : check::tests()) {
    const int before = check::failures;
    try {
      body();
    } catch (const std::exception& error) {
      check::fail(name.c_str(), 0, std::string("unexpected exception: ") + error.what());
    }
    std::cout << (check::failures == before ? "ok     " : "FAILED ") << name << std::endl;
  }
  return check::failures == 0 ? 0 : 1;
}
