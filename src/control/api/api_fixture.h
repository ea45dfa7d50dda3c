// api_fixture.h: the API over a real port, with storage and computes faked. For tests.
#pragma once
#include <gtest/gtest.h>
#include <httplib.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "control/api/server.h"
#include "control/fakes.h"

namespace halogen::control::api {

using nlohmann::json;

class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    std::string folder = fs::temp_directory_path() / "halogen-api-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    catalog_ = std::make_unique<Catalog>(folder_ / "catalog.db");
    accounts_ = std::make_unique<Accounts>(folder_ / "catalog.db");
    members_ = std::make_unique<Members>(folder_ / "catalog.db");
    accounts_->set_operator_key("test", "napi_test");
    manager_ = std::make_unique<EndpointManager>(
        EndpointManager::Options{.catalog = *catalog_, .host = host_});
    projects_ = std::make_unique<Projects>(Projects::Options{
        *catalog_, *manager_, host_, pageserver_, safekeeper_, "us-east-1.localhost", 5433});
    objects_ = std::make_unique<RolesAndDatabases>(*catalog_, *manager_, host_, projects_->turns(),
                                                   projects_->operations());
    services_ =
        std::make_unique<Services>(Services{*catalog_, *accounts_, *members_, *projects_, *objects_,
                                            *manager_, host_, pageserver_, safekeeper_});
    audit_log_ = std::make_unique<AuditLog>(folder_ / "audit.log");
    services_->audit_log = audit_log_.get();
    manager_->set_reader_timeline(
        [this](const Endpoint& reader) { return projects_->branches().reader_timeline(reader); });
    manager_->start();
    server_ = std::make_unique<Server>("127.0.0.1", 0);
    server_->start(*services_);
    client_ = std::make_unique<httplib::Client>("127.0.0.1", server_->port());
    client_->set_bearer_token_auth("napi_test");
  }
  ~ApiTest() override {
    server_->stop();
    manager_.reset();
    fs::remove_all(folder_);
  }

  json get(const std::string& path, int status = 200) { return read(client_->Get(path), status); }
  json patch(const std::string& path, const json& body, int status = 200) {
    return read(client_->Patch("/api/v2" + path, body.dump(), "application/json"), status);
  }
  json post(const std::string& path, const json& body, int status) {
    return read(client_->Post("/api/v2" + path, body.dump(), "application/json"), status);
  }
  json drop(const std::string& path, int status = 200) {
    return read(client_->Delete("/api/v2" + path), status);
  }
  static json read(const httplib::Result& result, int status) {
    EXPECT_TRUE(result) << httplib::to_string(result.error());
    if (!result) return {};
    EXPECT_EQ(result->status, status) << result->body;
    if (status == 204) {
      EXPECT_EQ(result->body, "");
      return {};
    }
    EXPECT_EQ(result->get_header_value("Content-Type"), "application/json");
    return json::parse(result->body);
  }
  json make_project(const std::string& name = "shop") {
    return post("/projects", {{"project", {{"name", name}}}}, 201);
  }

  fs::path folder_;
  FakeHost host_;
  FakePageserver pageserver_;
  FakeSafekeeper safekeeper_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Accounts> accounts_;
  std::unique_ptr<Members> members_;
  std::unique_ptr<EndpointManager> manager_;
  std::unique_ptr<Projects> projects_;
  std::unique_ptr<RolesAndDatabases> objects_;
  std::unique_ptr<AuditLog> audit_log_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<httplib::Client> client_;
};

}  // namespace halogen::control::api
