//! What is wrong with a request body, field by field, in words that several shapes render.

use serde_json::{Value, json};

/// Everything that is wrong with one request body: 422.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body does not hold what the endpoint needs")]
pub struct InvalidBody(Vec<FieldFault>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    pub place: Place,
    pub fault: Fault,
    /// What the client sent there. `None` where that could be a secret.
    pub input: Option<Value>,
}

/// Where in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Body,
    Field(&'static str),
    /// A byte of a body that is not JSON, counted from 0.
    Byte(usize),
}

/// What is wrong there. Reasons are our own words, never the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Missing,
    NotText,
    NotAnObject,
    NotJson(String),
    NotAnEmail(String),
    TooShort {
        /// in characters
        min: usize,
    },
    TooLong {
        /// in characters
        max: usize,
    },
    Unacceptable(String),
}

impl InvalidBody {
    /// `faults` in the order in which the endpoint declares its fields.
    pub fn new(faults: Vec<FieldFault>) -> Self {
        Self(faults)
    }

    pub fn faults(&self) -> &[FieldFault] {
        &self.0
    }

    /// One line for shapes that have room for one text: `email: Field required; password: …`.
    pub fn line(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(FieldFault::line).collect();
        lines.join("; ")
    }
}

impl From<FieldFault> for InvalidBody {
    fn from(fault: FieldFault) -> Self {
        Self(vec![fault])
    }
}

impl FieldFault {
    /// A fault that repeats nothing of what the client sent.
    pub fn new(place: Place, fault: Fault) -> Self {
        Self {
            place,
            fault,
            input: None,
        }
    }

    pub fn with_input(self, input: Value) -> Self {
        Self {
            input: Some(input),
            ..self
        }
    }

    fn line(&self) -> String {
        match self.place {
            Place::Field(name) => format!("{name}: {}", self.fault.message()),
            Place::Body | Place::Byte(_) => self.fault.message(),
        }
    }

    /// One element of the list that pydantic 2 makes, as FastAPI sends it.
    pub fn pydantic(&self) -> Value {
        let mut element = json!({
            "type": self.fault.kind(),
            "loc": self.location(),
            "msg": self.fault.message(),
        });
        if let Some(object) = element.as_object_mut() {
            if let Some(input) = &self.input {
                object.insert(String::from("input"), input.clone());
            }
            if let Some(context) = self.fault.context() {
                object.insert(String::from("ctx"), context);
            }
        }
        element
    }

    /// What AgentFlow's schema has room for: `loc`, `msg` and `type`.
    pub fn brief(&self) -> Value {
        json!({ "loc": self.location(), "msg": self.fault.message(), "type": self.fault.kind() })
    }

    fn location(&self) -> Value {
        match self.place {
            Place::Body => json!(["body"]),
            Place::Field(name) => json!(["body", name]),
            Place::Byte(at) => json!(["body", at]),
        }
    }

    /// One element of `errors` as RFC 9457 §3 shows it.
    pub fn problem(&self) -> Value {
        let pointer = match self.place {
            Place::Body | Place::Byte(_) => String::from("#"),
            Place::Field(name) => format!("#/{name}"),
        };
        json!({ "pointer": pointer, "code": self.fault.kind(), "detail": self.fault.message() })
    }
}

impl Fault {
    /// pydantic's word for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Missing => "missing",
            Fault::NotText => "string_type",
            Fault::NotAnObject => "model_attributes_type",
            Fault::NotJson(_) => "json_invalid",
            Fault::NotAnEmail(_) | Fault::Unacceptable(_) => "value_error",
            Fault::TooShort { .. } => "string_too_short",
            Fault::TooLong { .. } => "string_too_long",
        }
    }

    /// pydantic's message for it.
    pub fn message(&self) -> String {
        match self {
            Fault::Missing => String::from("Field required"),
            Fault::NotText => String::from("Input should be a valid string"),
            Fault::NotAnObject => {
                String::from("Input should be a valid dictionary or object to extract fields from")
            }
            Fault::NotJson(_) => String::from("JSON decode error"),
            Fault::NotAnEmail(reason) => format!("value is not a valid email address: {reason}"),
            Fault::TooShort { min } => format!("String should have at least {min} characters"),
            Fault::TooLong { max } => format!("String should have at most {max} characters"),
            Fault::Unacceptable(reason) => format!("Value error, {reason}"),
        }
    }

    fn context(&self) -> Option<Value> {
        match self {
            Fault::Missing | Fault::NotText | Fault::NotAnObject => None,
            Fault::NotJson(error) => Some(json!({ "error": error })),
            Fault::NotAnEmail(reason) | Fault::Unacceptable(reason) => {
                Some(json!({ "reason": reason }))
            }
            Fault::TooShort { min } => Some(json!({ "min_length": min })),
            Fault::TooLong { max } => Some(json!({ "max_length": max })),
        }
    }
}
