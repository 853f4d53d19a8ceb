//! What the description in OpenAPI says of all routes alike, and of those that no macro describes.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::{access::Access, problem::KINDS};

/// The description as it is served: each route may answer with a problem, and may need a token.
pub(crate) fn complete(description: &OpenApi, access: &Access) -> Value {
    let mut all = json!(description);
    all["components"]["schemas"]["Problem"] = problem();
    all["components"]["responses"]["Problem"] = json!({
        "description": "What went wrong",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    all["components"]["parameters"]["Conversation"] = json!({
        "name": "X-Correlation-Id", "in": "header", "schema": { "type": "string", "format": "uuid" },
        "description": "The conversation that the request belongs to; the answer has it too.",
    });
    if access.needs_tokens() {
        all["components"]["securitySchemes"]["token"] =
            json!({ "type": "http", "scheme": "bearer" });
        all["security"] = json!([{ "token": [] }]);
    }
    // One event may stand by itself.
    let either = ["AppendToStream", "EventToAppend"];
    let either = either.map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }));
    all["paths"]["/streams/{stream}"]["post"]["requestBody"]["content"]["application/json"]["schema"] =
        json!({ "oneOf": either });
    let operations = all["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in operations.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut())
    {
        may_fail(operation);
        let parameters = operation["parameters"].take();
        let mut parameters = parameters.as_array().cloned().unwrap_or_default();
        parameters.push(json!({ "$ref": "#/components/parameters/Conversation" }));
        operation["parameters"] = parameters.into();
    }
    for (path, summary, status) in [
        ("/healthz", "Whether the process answers", "503"),
        ("/readyz", "Whether it can do its work", "503"),
        ("/problems/{name}", "What a problem means, and what to do about it", "404"),
    ] {
        all["paths"][path]["get"] = json!({
            "summary": summary, "security": [],
            "responses": { "200": { "description": "So it is" }, status: { "description": "So it is not" } },
        });
    }
    all["paths"]["/problems/{name}"]["get"]["parameters"] =
        json!([{ "name": "name", "in": "path", "required": true, "schema": { "type": "string" } }]);
    all
}

/// What fails does so with a problem: by the statuses that are described, and by others.
fn may_fail(operation: &mut Value) {
    let content = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
    let responses = operation["responses"].as_object_mut().into_iter().flatten();
    for (status, response) in responses {
        if status.starts_with(['4', '5']) {
            response["content"] = content.clone();
        }
    }
    operation["responses"]["default"] = json!({ "$ref": "#/components/responses/Problem" });
}

/// The body of a problem, with all types that it may have.
fn problem() -> Value {
    let types: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    json!({
        "type": "object",
        "description": "RFC 9457, with members of its own where a kind has them.",
        "required": ["type", "title", "status", "detail", "instance", "trace_id"],
        "properties": {
            "type": {
                "type": "string", "pattern": format!("/problems/({})$", types.join("|")),
                "description": "Where the kind is explained",
            },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "instance": { "type": "string" },
            "trace_id": { "type": "string", "format": "uuid" },
            "errors": { "type": "array", "items": {
                "type": "object",
                "properties": { "pointer": { "type": "string" }, "detail": { "type": "string" } },
            } },
        },
    })
}
