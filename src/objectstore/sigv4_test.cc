#include "objectstore/sigv4.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::objectstore {
namespace {

const Credentials kOfTheDocumentation{"AKIAIOSFODNN7EXAMPLE",
                                      "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
constexpr const char* kHost = "examplebucket.s3.amazonaws.com";
constexpr const char* kTime = "20130524T000000Z";

std::string signature(const RequestToSign& request) {
  const std::string header = sign(request, kOfTheDocumentation, "us-east-1");
  return header.substr(header.rfind('=') + 1);
}

// Both of "Authenticating Requests (AWS Signature Version 4)", S3's API reference.
TEST(SigV4, ARangeGetIsSignedAsInTheDocumentation) {
  const std::string empty = sha256_hex("");
  EXPECT_EQ(signature({.method = "GET",
                       .path = "/test.txt",
                       .headers = {{"host", kHost},
                                   {"range", "bytes=0-9"},
                                   {"x-amz-content-sha256", empty},
                                   {"x-amz-date", kTime}},
                       .payload_sha256 = empty,
                       .time = kTime}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, AListIsSignedAsInTheDocumentation) {
  const std::string empty = sha256_hex("");
  EXPECT_EQ(
      signature(
          {.method = "GET",
           .path = "/",
           .query = {{"prefix", "J"}, {"max-keys", "2"}},
           .headers = {{"host", kHost}, {"x-amz-content-sha256", empty}, {"x-amz-date", kTime}},
           .payload_sha256 = empty,
           .time = kTime}),
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(Credentials, AreThoseOfTheDefaultSection) {
  const Credentials found = parse_credentials(
      "[other]\naws_access_key_id = a\naws_secret_access_key = b\n"
      "# a comment = 1\n[default]\r\naws_access_key_id=AK\r\n aws_secret_access_key = S/K=\r\n",
      "f");
  EXPECT_EQ(found.access_key, "AK");
  EXPECT_EQ(found.secret_key, "S/K=");
  EXPECT_TRUE(found.session_token.empty());
}

TEST(Credentials, AFileWithoutThemIsRefusedWithoutTellingWhatIsInIt) {
  try {
    parse_credentials("[default]\naws_secret_access_key = geheim\n", "file");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::invalid_argument);
    EXPECT_EQ(std::string(error.what()).find("geheim"), std::string::npos);
  }
}

}  // namespace
}  // namespace halogen::objectstore
