// operation.h: one operation of the description: a method of a path.
#pragma once
#include <initializer_list>
#include <string>

#include "control/api/description/schema.h"

namespace halogen::control::api {

struct Parameter {
  const char* name;
  schema::json schema;
  bool required = false;
};

class OperationDescription {
 public:
  // `path` with its parameters in braces, below /api/v2.
  OperationDescription(schema::json& paths, const char* method, const std::string& path,
                       const char* operation_id, const char* summary);

  OperationDescription& query(std::initializer_list<Parameter> parameters);
  OperationDescription& body(schema::json schema, bool required = true);
  OperationDescription& answers(int status, schema::json schema, const char* text = "Done");
  // For deletions: it was not there.
  OperationDescription& or_204();

 private:
  schema::json& operation_;
};

}  // namespace halogen::control::api
