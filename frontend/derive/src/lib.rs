//! `#[derive(Tree)]` for structs of tensors. See `egrad::Tree`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Ident, Member, Result, parse_quote};

/// Makes a struct that is generic over its leaf a tree: `struct Params<T> { w: T, b: T }` gets
/// `Tree` as `Params<Tensor>` and as `Params<Array>`, and `Axes` with axes for leaves.
#[proc_macro_derive(Tree)]
pub fn derive_tree(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|e| e.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            let what = "only structs can be trees: which variant an enum is would not be known to a traced function";
            return Err(Error::new(data.enum_token.span, what));
        }
        Data::Union(data) => return Err(Error::new(data.union_token.span, "only structs can be trees")),
    };
    let leaf = leaf_param(input)?;
    if let Fields::Unit = fields {
        return Err(Error::new(name.span(), "a tree needs a field with a leaf"));
    }

    for field in fields {
        if !mentions(&field.ty, &leaf) {
            let what = format!(
                "every field of a tree is made of its leaf `{leaf}`: make a number a tensor too (`{leaf}`), \
                 or let the traced function capture it"
            );
            return Err(Error::new(field.ty.span(), what));
        }
    }

    let members: Vec<Member> = fields.members().collect();
    let types: Vec<_> = fields.iter().map(|f| &f.ty).collect();
    let locals: Vec<Ident> = (0..members.len()).map(|i| format_ident!("field_{i}")).collect();
    let paths: Vec<String> = members
        .iter()
        .map(|m| match m {
            Member::Named(ident) => format!(".{ident}"),
            Member::Unnamed(index) => format!(".{}", index.index),
        })
        .collect();

    // The leaf's own bounds are the user's; that each field is a tree of that leaf is checked where
    // the field is written, so that the error points there.
    let (_, ty_generics, _) = input.generics.split_for_impl();
    let mut tree = input.generics.clone();
    let bounds = tree.type_params_mut().find(|p| p.ident == leaf).map(|p| &mut p.bounds);
    if let Some(bounds) = bounds {
        bounds.push(parse_quote!(::egrad::Leaf));
    }
    let (tree_impl, _, tree_where) = tree.split_for_impl();
    let with = |leaf_type: TokenStream| {
        let args = input.generics.params.iter().map(|p| match p {
            GenericParam::Type(p) if p.ident == leaf => leaf_type.clone(),
            GenericParam::Type(p) => {
                let ident = &p.ident;
                quote!(#ident)
            }
            GenericParam::Const(p) => {
                let ident = &p.ident;
                quote!(#ident)
            }
            GenericParam::Lifetime(p) => {
                let lifetime = &p.lifetime;
                quote!(#lifetime)
            }
        });
        quote!(#name<#(#args),*>)
    };
    let (tensors, arrays) = (with(quote!(::egrad::Tensor)), with(quote!(::egrad::Array)));

    let flatten = members
        .iter()
        .zip(&types)
        .map(|(m, ty)| quote::quote_spanned!(ty.span()=> ::egrad::Tree::flatten(&self.#m, into);));
    let build = types
        .iter()
        .zip(&locals)
        .map(|(ty, local)| quote::quote_spanned!(ty.span()=> let #local = <#ty as ::egrad::Tree>::build(from);));
    let walk = members
        .iter()
        .zip(&paths)
        .map(|(m, path)| quote!(::egrad::Tree::paths(&self.#m, &::std::format!("{}{}", path, #path), into);));

    // Axes: the struct with axes for leaves, for the struct with tensors.
    let mut axes = input.generics.clone();
    let clause = axes.make_where_clause();
    for ty in &types {
        let of_tensors = substitute(ty, &leaf);
        clause.predicates.push(parse_quote!(#ty: ::egrad::Axes<#of_tensors>));
    }
    let (axes_impl, _, axes_where) = axes.split_for_impl();

    Ok(quote! {
        #[automatically_derived]
        impl #tree_impl ::egrad::Tree for #name #ty_generics #tree_where {
            type Leaf = #leaf;
            type Tensors = #tensors;
            type Arrays = #arrays;
            fn flatten<'tree>(&'tree self, into: &mut ::egrad::Flat<'tree, #leaf>) {
                #(#flatten)*
            }
            fn build(from: &mut ::egrad::Parts<'_, #leaf>) -> Self {
                #(#build)*
                #name { #(#members: #locals),* }
            }
            fn paths(&self, path: &str, into: &mut ::std::vec::Vec<::std::string::String>) {
                #(#walk)*
            }
        }

        #[automatically_derived]
        impl #axes_impl ::egrad::Axes<#tensors> for #name #ty_generics #axes_where {
            fn axes(
                &self,
                tree: &#tensors,
                into: &mut ::std::vec::Vec<::std::option::Option<isize>>,
            ) -> ::egrad::Result<()> {
                #(::egrad::Axes::axes(&self.#members, &tree.#members, into)?;)*
                ::std::result::Result::Ok(())
            }
        }
    })
}

/// The type parameter that stands for the leaf: the only one.
fn leaf_param(input: &DeriveInput) -> Result<Ident> {
    let mut params = input.generics.type_params();
    let example = format!("write it as `struct {}<T>`, with `T` where the tensors are", input.ident);
    match (params.next(), params.next()) {
        (Some(leaf), None) => Ok(leaf.ident.clone()),
        (None, _) => {
            let what = format!("a tree is generic over its leaf, which is `Tensor` or `Array`: {example}");
            Err(Error::new(input.ident.span(), what))
        }
        (Some(_), Some(second)) => {
            Err(Error::new(second.span(), format!("a tree has one type parameter, its leaf: {example}")))
        }
    }
}

/// Whether the type is written with the leaf.
fn mentions(ty: &syn::Type, leaf: &Ident) -> bool {
    fn any(tokens: TokenStream, leaf: &Ident) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => ident == *leaf,
            proc_macro2::TokenTree::Group(group) => any(group.stream(), leaf),
            proc_macro2::TokenTree::Punct(_) | proc_macro2::TokenTree::Literal(_) => false,
        })
    }
    any(quote!(#ty), leaf)
}

/// The type with `Tensor` for the leaf.
fn substitute(ty: &syn::Type, leaf: &Ident) -> TokenStream {
    fn walk(tokens: TokenStream, leaf: &Ident) -> TokenStream {
        let tensor = quote::quote_spanned!(Span::call_site()=> ::egrad::Tensor);
        tokens
            .into_iter()
            .flat_map(|token| match token {
                proc_macro2::TokenTree::Ident(ident) if ident == *leaf => tensor.clone(),
                proc_macro2::TokenTree::Group(group) => {
                    let inside = walk(group.stream(), leaf);
                    let mut new = proc_macro2::Group::new(group.delimiter(), inside);
                    new.set_span(group.span());
                    proc_macro2::TokenTree::Group(new).into()
                }
                other => other.into(),
            })
            .collect()
    }
    walk(quote!(#ty), leaf)
}
