//! What visitors do on the pages of the shop: `session-<id>`. Nothing is decided here: it has happened.

use headwater::Event;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ids::Sku;

/// What a visitor did.
#[derive(Clone, Debug, PartialEq, Event)]
#[event(category = "session")]
pub enum SessionEvent {
    /// A page was opened.
    #[event(name = "page.loaded")]
    PageLoaded {
        /// Its address, or what the page is called.
        url: String,
        /// What the browser says of itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        user_agent: Option<String>,
        /// Who, and what else is known.
        #[serde(flatten)]
        context: Context,
    },
    /// A button was pressed.
    #[event(name = "button.clicked")]
    ButtonClicked {
        /// Which one.
        button_id: String,
        /// Who, and what else is known.
        #[serde(flatten)]
        context: Context,
    },
    /// A product was looked at.
    #[event(name = "product.viewed")]
    ProductViewed {
        /// Which one, where it is one of the shop's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sku: Option<Sku>,
        /// Who, and what else is known.
        #[serde(flatten)]
        context: Context,
    },
    /// Something was searched for.
    #[event(name = "search.performed")]
    SearchPerformed(Context),
}

/// What surrounds all of them, where it is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// What the page says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The visitor, across sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitor: Option<String>,
    /// What else was sent, as it was sent.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}
