//! What a request passes before a route answers it, a line each.

use axum::{Extension, Router, middleware::from_fn_with_state};
use peerage_mesh::Origin;
use peerage_services::{
    audit::calls, context::Context, failure::with_fallbacks, gate::gate, limit::limit,
    secrets::answers,
};
use tower_http::trace::TraceLayer;

/// Around what peers may ask for. The last layer named is the first that a request passes.
pub(crate) fn public(routes: Router<Context>, ctx: &Context) -> Router {
    with_fallbacks(routes)
        .layer(from_fn_with_state(ctx.clone(), answers))
        .layer(from_fn_with_state(ctx.clone(), gate))
        .layer(from_fn_with_state(ctx.clone(), limit))
        .layer(from_fn_with_state(ctx.clone(), calls))
        .layer(TraceLayer::new_for_http())
        .with_state(ctx.clone())
}

/// Around what this machine may ask for. Who may come in at all is the listeners' question.
pub(crate) fn local(routes: Router) -> Router {
    with_fallbacks(routes)
        .layer(Extension(Origin::Local))
        .layer(TraceLayer::new_for_http())
}
