#include "objectstore/s3_answer.h"

#include <expat.h>

#include <charconv>
#include <functional>
#include <memory>

#include "base/error.h"

namespace halogen::objectstore {
namespace {

constexpr size_t kDeepest = 16;
constexpr size_t kMostText = 16 << 10;

// Calls `leaf` with the path ("ListBucketResult/Contents/Key") and the text of each element as it
// ends. False if it is no XML, is deeper than any answer, or declares types.
class XmlWalk {
 public:
  using Leaf = std::function<void(const std::string& path, const std::string& text)>;

  explicit XmlWalk(Leaf leaf)
      : leaf_(std::move(leaf)), parser_(XML_ParserCreate(nullptr), &XML_ParserFree) {
    CHECK(parser_ != nullptr);
    XML_SetUserData(parser_.get(), this);
    XML_SetElementHandler(parser_.get(), begin, end);
    XML_SetCharacterDataHandler(parser_.get(), characters);
    XML_SetStartDoctypeDeclHandler(parser_.get(), doctype);
  }

  bool run(std::string_view xml) {
    if (xml.size() > INT32_MAX) return false;
    const auto status = XML_Parse(parser_.get(), xml.data(), static_cast<int>(xml.size()), 1);
    return status == XML_STATUS_OK && !refused_;
  }

 private:
  static XmlWalk& self(void* user) { return *static_cast<XmlWalk*>(user); }
  static void begin(void* user, const XML_Char* name, const XML_Char**) {
    XmlWalk& walk = self(user);
    walk.lengths_.push_back(walk.path_.size());
    walk.path_ += (walk.path_.empty() ? "" : "/") + std::string(name);
    walk.text_.clear();
    if (walk.lengths_.size() > kDeepest || walk.path_.size() > kMostText) walk.refuse();
  }
  static void end(void* user, const XML_Char*) {
    XmlWalk& walk = self(user);
    if (walk.refused_) return;
    walk.leaf_(walk.path_, walk.text_);
    walk.text_.clear();
    walk.path_.resize(walk.lengths_.back());
    walk.lengths_.pop_back();
  }
  static void characters(void* user, const XML_Char* text, int size) {
    XmlWalk& walk = self(user);
    if (walk.text_.size() + static_cast<size_t>(size) > kMostText) return walk.refuse();
    walk.text_.append(text, static_cast<size_t>(size));
  }
  static void doctype(void* user, const XML_Char*, const XML_Char*, const XML_Char*, int) {
    self(user).refuse();
  }
  void refuse() {
    refused_ = true;
    XML_StopParser(parser_.get(), XML_FALSE);
  }

  const Leaf leaf_;
  const std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser_;
  std::string path_;
  std::vector<size_t> lengths_;
  std::string text_;
  bool refused_ = false;
};

uint64_t number(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw Error(Errc::corrupt, "S3 lists an object of size \"{}\"", text);
  return value;
}

}  // namespace

ListedPage parse_list(std::string_view xml) {
  ListedPage page;
  std::vector<std::string> sizes;  // Looked at outside of expat, which knows no exceptions.
  std::string key, size;
  bool truncated = false, listed = false;
  XmlWalk walk([&](const std::string& path, const std::string& text) {
    if (path == "ListBucketResult") listed = true;
    if (path == "ListBucketResult/IsTruncated") truncated = text == "true";
    if (path == "ListBucketResult/NextContinuationToken") page.next = text;
    if (path == "ListBucketResult/Contents/Key") key = text;
    if (path == "ListBucketResult/Contents/Size") size = text;
    if (path == "ListBucketResult/Contents") {
      page.objects.push_back({std::exchange(key, {}), 0});
      sizes.push_back(std::exchange(size, {}));
    }
  });
  if (!walk.run(xml) || !listed || truncated == page.next.empty())
    throw Error(Errc::corrupt, "the answer is no list of objects as S3 gives it");
  for (size_t i = 0; i < sizes.size(); i++) page.objects[i].size = number(sizes[i]);
  return page;
}

std::string error_code_of(std::string_view xml) {
  std::string code;
  XmlWalk walk([&](const std::string& path, const std::string& text) {
    if (path == "Error/Code") code = text;
  });
  return walk.run(xml) ? code : "";
}

}  // namespace halogen::objectstore
