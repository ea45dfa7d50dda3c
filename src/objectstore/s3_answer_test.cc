#include "objectstore/s3_answer.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::objectstore {
namespace {

TEST(S3Answer, AListIsReadWithItsTokenToGoOn) {
  const ListedPage page = parse_list(
      R"(<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">)"
      "<Name>b</Name><IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;n"
      "</NextContinuationToken><Contents><Key>a/b</Key><ETag>x</ETag><Size>12</Size></Contents>"
      "<Contents><Key>c</Key><Size>0</Size></Contents></ListBucketResult>");
  ASSERT_EQ(page.objects.size(), 2u);
  EXPECT_EQ(page.objects[0], (ObjectInfo{"a/b", 12}));
  EXPECT_EQ(page.objects[1], (ObjectInfo{"c", 0}));
  EXPECT_EQ(page.next, "t&n");
}

TEST(S3Answer, WhatIsNoListIsCorrupt) {
  for (const char* xml :
       {"", "no xml", "<ListBucketResult>", "<Other/>", "<html>proxy error</html>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>1x</Size></Contents></ListBucketResult>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><ListBucketResult>&b;</ListBucketResult>"})
    EXPECT_THROW(parse_list(xml), Error) << xml;
}

TEST(S3Answer, AnErrorHasItsCode) {
  EXPECT_EQ(error_code_of("<Error><Code>NoSuchKey</Code><Message>m</Message></Error>"),
            "NoSuchKey");
  EXPECT_EQ(error_code_of("<html/>"), "");
}

}  // namespace
}  // namespace halogen::objectstore
