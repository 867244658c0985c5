//! Resource names in requests: `workspaces/{workspace}` and `workspaces/{workspace}/{collection}/{id}`.

use perennial_types::{Workspace, parse_resource};

use crate::identity::is_visible;
use crate::{Field, Invalid};

/// Reads a field that holds `workspaces/{workspace}`, such as `parent`.
///
/// # Errors
/// [`Invalid`] naming the field and the form it must have; or, for a caller with the key of another workspace, that it is
/// not found.
pub fn workspace(field: &str, name: &str) -> Result<Workspace, Invalid> {
    let bare = name.strip_prefix("workspaces/").and_then(|it| Workspace::parse(it).ok());
    let shown: String = name.chars().take(80).collect();
    let workspace =
        bare.ok_or_else(|| format!("is {shown:?}: use the form workspaces/{{workspace}}")).field(field)?;
    visible(workspace)
}

/// Reads a field that holds `workspaces/{workspace}/{collection}/{id}`, such as `name`; gives the workspace and the id.
///
/// # Errors
/// [`Invalid`] naming the field and the form it must have; or, for a caller with the key of another workspace, that it is
/// not found.
pub fn resource<'a>(
    field: &str,
    name: &'a str,
    collection: &'static str,
) -> Result<(Workspace, &'a str), Invalid> {
    let (workspace, id) =
        parse_resource(name, collection).map_err(|problem| format!("is wrong: {problem}")).field(field)?;
    Ok((visible(workspace)?, id))
}

/// The one place that every name of a request passes, and so the one that keeps workspaces apart at the edge.
fn visible(workspace: Workspace) -> Result<Workspace, Invalid> {
    if is_visible(&workspace) { Ok(workspace) } else { Err(Invalid::unknown(&workspace.resource())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_form_is_refused_with_the_form() {
        assert_eq!(workspace("parent", "workspaces/main").unwrap().as_str(), "main");
        let refused = workspace("parent", "main").unwrap_err().to_string();
        assert_eq!(refused, "parent is \"main\": use the form workspaces/{workspace}");
        assert_eq!(resource("name", "workspaces/main/segments/vip", "segments").unwrap().1, "vip");
        assert!(resource("name", "vip", "segments").unwrap_err().to_string().starts_with("name is wrong"));
    }
}
