//! `#[derive(Tree)]` for structs and enums of tensors. See `egrad::Tree`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, Generics, Ident, Member, Result, Type, parse_quote};

/// Makes a struct or enum that is generic over its leaf a tree: `struct Params<T> { w: T, b: T }`
/// gets `Tree` as `Params<Tensor>` and as `Params<Array>`, and `Axes` with axes for leaves. Fields
/// marked `#[tree(fixed)]` hold no tensors and are part of the structure, as an enum's variant is.
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// A struct, or a variant of an enum.
struct Shape<'a> {
    /// `None` for a struct.
    variant: Option<&'a Ident>,
    fields: Vec<Part<'a>>,
}

/// A field.
struct Part<'a> {
    member: Member,
    ty: &'a Type,
    fixed: bool,
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let shapes: Vec<Shape<'_>> = match &input.data {
        Data::Struct(data) => vec![Shape { variant: None, fields: parts(&data.fields)? }],
        Data::Enum(data) => {
            let shapes = data.variants.iter().map(|v| Ok(Shape { variant: Some(&v.ident), fields: parts(&v.fields)? }));
            shapes.collect::<Result<_>>()?
        }
        Data::Union(data) => return Err(Error::new(data.union_token.span, "only structs and enums can be trees")),
    };
    let params = Params::of(input, &shapes)?;
    let all: Vec<&Part<'_>> = shapes.iter().flat_map(|s| &s.fields).collect();
    if all.iter().all(|f| f.fixed) {
        return Err(Error::new(name.span(), "a tree needs a field with a leaf"));
    }
    for field in all.iter().filter(|f| !f.fixed) {
        if !params.trees().any(|p| mentions(field.ty, p)) {
            let what = format!(
                "every field of a tree is made of its leaf `{}`: make a number a tensor too (`{0}`), mark what isn't \
                 one `#[tree(fixed)]`, or let the traced function capture it",
                params.leaf
            );
            return Err(Error::new(field.ty.span(), what));
        }
    }
    let tree = tree_impl(input, &shapes, &params);
    let (axes, nest) = (axes_impl(input, &shapes, &params), nest_impl(input, &shapes, &params));
    Ok(quote!(#tree #axes #nest))
}

fn parts(fields: &Fields) -> Result<Vec<Part<'_>>> {
    let part = |(member, field): (Member, _)| -> Result<Part<'_>> {
        let field: &Field = field;
        Ok(Part { member, ty: &field.ty, fixed: is_fixed(field)? })
    };
    fields.members().zip(fields).map(part).collect()
}

/// Whether a field is marked `#[tree(fixed)]`.
fn is_fixed(field: &Field) -> Result<bool> {
    let mut fixed = false;
    for attr in field.attrs.iter().filter(|a| a.path().is_ident("tree")) {
        attr.parse_nested_meta(|meta| {
            fixed |= meta.path.is_ident("fixed");
            if fixed { Ok(()) } else { Err(meta.error("a field of a tree can be marked `#[tree(fixed)]`")) }
        })?;
    }
    Ok(fixed)
}

/// The type parameters: the leaf is the first.
struct Params {
    leaf: Ident,
    /// Those that stand for trees of that leaf.
    subtrees: Vec<Ident>,
    /// Those that only fixed fields mention.
    fixed: Vec<Ident>,
}

impl Params {
    fn of(input: &DeriveInput, shapes: &[Shape<'_>]) -> Result<Params> {
        let mut names = input.generics.type_params().map(|p| p.ident.clone());
        let Some(leaf) = names.next() else {
            let what = format!(
                "a tree is generic over its leaf, which is `Tensor` or `Array`: write it as `{}<T>`, with `T` where the \
                 tensors are",
                input.ident
            );
            return Err(Error::new(input.ident.span(), what));
        };
        let in_trees = |p: &Ident| shapes.iter().flat_map(|s| &s.fields).any(|f| !f.fixed && mentions(f.ty, p));
        let (subtrees, fixed) = names.partition(in_trees);
        Ok(Params { leaf, subtrees, fixed })
    }

    /// The parameters that make a field a tree.
    fn trees(&self) -> impl Iterator<Item = &Ident> {
        std::iter::once(&self.leaf).chain(&self.subtrees)
    }

    /// The arguments for the type's parameters, with these for the leaf and for each subtree.
    fn arguments(
        &self,
        generics: &Generics,
        leaf: &TokenStream,
        subtree: impl Fn(&Ident) -> TokenStream,
    ) -> TokenStream {
        let args = generics.params.iter().map(|p| match p {
            GenericParam::Type(p) if p.ident == self.leaf => leaf.clone(),
            GenericParam::Type(p) if self.subtrees.contains(&p.ident) => subtree(&p.ident),
            GenericParam::Type(p) => p.ident.to_token_stream(),
            GenericParam::Const(p) => p.ident.to_token_stream(),
            GenericParam::Lifetime(p) => p.lifetime.to_token_stream(),
        });
        quote!(<#(#args),*>)
    }
}

/// The pattern that takes a shape apart, with a local per field.
fn pattern(shape: &Shape<'_>, name: &Ident, prefix: &str) -> TokenStream {
    let members = shape.fields.iter().map(|f| &f.member);
    let locals = locals(shape, prefix);
    let variant = shape.variant.map(|v| quote!(::#v));
    quote!(#name #variant { #(#members: #locals),* })
}

fn locals(shape: &Shape<'_>, prefix: &str) -> Vec<Ident> {
    (0..shape.fields.len()).map(|i| format_ident!("{prefix}_{i}")).collect()
}

/// The path of a field below its owner's.
fn path(member: &Member) -> String {
    match member {
        Member::Named(ident) => format!(".{}", ident.to_string().trim_start_matches("r#")),
        Member::Unnamed(index) => format!(".{}", index.index),
    }
}

fn tree_impl(input: &DeriveInput, shapes: &[Shape<'_>], params: &Params) -> TokenStream {
    let (name, leaf) = (&input.ident, &params.leaf);
    let (_, ty_generics, _) = input.generics.split_for_impl();
    // That each field is a tree of the leaf is checked where the field is written, so that the error
    // points there.
    let mut generics = input.generics.clone();
    for p in generics.type_params_mut() {
        if p.ident == *leaf {
            // A leaf, or a tree where the leaf would be: a row of a Hessian.
            p.bounds.push(parse_quote!(::egrad::Tree));
        } else if params.fixed.contains(&p.ident) {
            p.bounds.push(parse_quote!(::egrad::Fixed));
        } else {
            p.bounds.push(parse_quote!(::egrad::Tree<Leaf = <#leaf as ::egrad::Tree>::Leaf>));
        }
    }
    let (tree_impl, _, tree_where) = generics.split_for_impl();
    let of = |form: TokenStream| {
        let tree = |p: &Ident| quote!(<#p as ::egrad::Tree>::#form);
        let args = params.arguments(&input.generics, &tree(leaf), tree);
        quote!(#name #args)
    };
    let (tensors, arrays) = (of(quote!(Tensors)), of(quote!(Arrays)));
    let leaf = quote!(<#leaf as ::egrad::Tree>::Leaf);

    let flatten = shapes.iter().enumerate().map(|(number, shape)| {
        let pattern = pattern(shape, name, "field");
        let variant = shape.variant.map(|_| quote!(into.length(#number);));
        let fields = shape.fields.iter().zip(locals(shape, "field")).map(|(f, local)| match f.fixed {
            true => quote_spanned!(f.ty.span()=> into.fixed(#local);),
            false => quote_spanned!(f.ty.span()=> ::egrad::Tree::flatten(#local, into);),
        });
        quote!(#pattern => { #variant #(#fields)* })
    });
    let outline = shapes.iter().map(|shape| {
        let pattern = pattern(shape, name, "field");
        let variant = shape.variant.map(|v| {
            let what = format!("the variant `{v}`");
            quote!(into.part(path, #what);)
        });
        let fields = shape.fields.iter().zip(locals(shape, "field")).map(|(f, local)| {
            let path = path(&f.member);
            match f.fixed {
                true => quote!(into.part(&::std::format!("{}{}", path, #path), ::std::format!("{:?}", #local));),
                false => quote!(::egrad::Tree::outline(#local, &::std::format!("{}{}", path, #path), into);),
            }
        });
        quote!(#pattern => { #variant #(#fields)* })
    });
    let build = shapes.iter().map(|shape| {
        let pattern = pattern(shape, name, "field");
        let fields = shape.fields.iter().zip(locals(shape, "field")).map(|(f, local)| {
            let ty = f.ty;
            match f.fixed {
                true => quote_spanned!(ty.span()=> let #local = from.fixed::<#ty>();),
                false => quote_spanned!(ty.span()=> let #local = <#ty as ::egrad::Tree>::build(from);),
            }
        });
        quote!({ #(#fields)* #pattern })
    });
    let build = match shapes.iter().any(|s| s.variant.is_some()) {
        false => quote!(#(#build)*),
        true => {
            let numbers = 0..shapes.len();
            quote!(match from.length() { #(#numbers => #build,)* n => from.no_variant(::std::stringify!(#name), n) })
        }
    };

    quote! {
        #[automatically_derived]
        impl #tree_impl ::egrad::Tree for #name #ty_generics #tree_where {
            type Leaf = #leaf;
            type Tensors = #tensors;
            type Arrays = #arrays;
            fn flatten<'tree>(&'tree self, into: &mut ::egrad::Flat<'tree, #leaf>) {
                match self { #(#flatten)* }
            }
            fn build(from: &mut ::egrad::Parts<'_, #leaf>) -> Self {
                #build
            }
            fn outline(&self, path: &str, into: &mut ::egrad::Outline) {
                match self { #(#outline)* }
            }
        }
    }
}

/// The type with other things for leaves, unless it says what its leaves have to be.
fn nest_impl(input: &DeriveInput, shapes: &[Shape<'_>], params: &Params) -> Option<TokenStream> {
    let name = &input.ident;
    let (_, ty_generics, _) = input.generics.split_for_impl();
    let bounded = |p: &syn::TypeParam| !params.fixed.contains(&p.ident) && !p.bounds.is_empty();
    if input.generics.where_clause.is_some() || input.generics.type_params().any(bounded) {
        return None;
    }
    let mut generics = input.generics.clone();
    let leaf = &params.leaf;
    for p in generics.type_params_mut() {
        p.bounds.push(match &p.ident {
            p if p == leaf => parse_quote!(::egrad::Nest),
            p if params.fixed.contains(p) => parse_quote!(::egrad::Fixed),
            _ => parse_quote!(::egrad::Nest<Leaf = <#leaf as ::egrad::Tree>::Leaf>),
        });
    }
    let of = |p: &Ident| quote!(<#p as ::egrad::Nest>::Of<Leaf>);
    let args = params.arguments(&input.generics, &of(leaf), of);
    let arms = shapes.iter().map(|shape| {
        let (mine, new) = (pattern(shape, name, "field"), pattern(shape, name, "nested"));
        let fields = shape.fields.iter().zip(locals(shape, "field")).zip(locals(shape, "nested"));
        let fields = fields.map(|((f, mine), new)| match f.fixed {
            true => quote_spanned!(f.ty.span()=> let #new = ::std::clone::Clone::clone(#mine);),
            false => quote_spanned!(f.ty.span()=> let #new = ::egrad::Nest::nest(#mine, each);),
        });
        quote!(#mine => { #(#fields)* #new })
    });
    let (nest_impl, _, nest_where) = generics.split_for_impl();
    Some(quote! {
        #[automatically_derived]
        impl #nest_impl ::egrad::Nest for #name #ty_generics #nest_where {
            type Of<Leaf: 'static> = #name #args;
            fn nest<Leaf: 'static>(&self, each: &mut dyn ::std::ops::FnMut() -> Leaf) -> Self::Of<Leaf> {
                match self { #(#arms)* }
            }
        }
    })
}

/// Axes: the type with axes for leaves, for the type with tensors.
fn axes_impl(input: &DeriveInput, shapes: &[Shape<'_>], params: &Params) -> TokenStream {
    let name = &input.ident;
    let (_, ty_generics, _) = input.generics.split_for_impl();
    let tree_of = |p: &Ident| format_ident!("{p}Tensors");
    let mut generics = input.generics.clone();
    for p in &params.subtrees {
        let of = tree_of(p);
        generics.params.push(parse_quote!(#of));
    }
    for p in generics.type_params_mut().filter(|p| params.fixed.contains(&p.ident)) {
        p.bounds.push(parse_quote!(::egrad::Fixed));
    }
    let tensors = {
        let args = params.arguments(&input.generics, &quote!(::egrad::Tensor), |p| tree_of(p).to_token_stream());
        quote!(#name #args)
    };
    let clause = generics.make_where_clause();
    // For a field of the type's own, this implementation answers.
    for field in shapes.iter().flat_map(|s| &s.fields).filter(|f| !f.fixed && !mentions(f.ty, name)) {
        let of_tensors = substitute(field.ty, &params.leaf, &params.subtrees);
        let ty = field.ty;
        clause.predicates.push(parse_quote!(#ty: ::egrad::Axes<#of_tensors>));
    }
    let (axes_impl, _, axes_where) = generics.split_for_impl();

    let arms = shapes.iter().map(|shape| {
        let of = locals(shape, "of");
        let (mine, theirs) = (pattern(shape, name, "axis"), pattern(shape, name, "of"));
        let fields = shape.fields.iter().zip(locals(shape, "axis")).zip(&of).map(|((f, axis), of)| match f.fixed {
            true => quote!(let _ = (#axis, #of);),
            false => quote!(::egrad::Axes::axes(#axis, #of, into)?;),
        });
        quote!((#mine, #theirs) => { #(#fields)* ::std::result::Result::Ok(()) })
    });
    let different = (shapes.len() > 1).then(|| {
        let name_of = |local: &str| {
            let local = format_ident!("{local}");
            let arms = shapes.iter().filter_map(|s| s.variant).map(|v| {
                let text = v.to_string();
                quote!(#name::#v { .. } => #text,)
            });
            quote!(match #local { #(#arms)* })
        };
        let (mine, theirs) = (name_of("mine"), name_of("theirs"));
        quote! {
            (mine, theirs) => ::std::result::Result::Err(::egrad::Error::tree(::std::format!(
                "axes for the variant `{}` are given for the variant `{}`", #mine, #theirs
            ))),
        }
    });
    quote! {
        #[automatically_derived]
        impl #axes_impl ::egrad::Axes<#tensors> for #name #ty_generics #axes_where {
            fn axes(
                &self,
                tree: &#tensors,
                into: &mut ::std::vec::Vec<::std::option::Option<isize>>,
            ) -> ::egrad::Result<()> {
                match (self, tree) { #(#arms)* #different }
            }
        }
    }
}

/// Whether the type is written with that name.
fn mentions(ty: &Type, name: &Ident) -> bool {
    fn any(tokens: TokenStream, name: &Ident) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => ident == *name,
            proc_macro2::TokenTree::Group(group) => any(group.stream(), name),
            proc_macro2::TokenTree::Punct(_) | proc_macro2::TokenTree::Literal(_) => false,
        })
    }
    any(quote!(#ty), name)
}

/// The type with `Tensor` for the leaf, and for each subtree the parameter that stands for it made
/// of tensors.
fn substitute(ty: &Type, leaf: &Ident, subtrees: &[Ident]) -> TokenStream {
    fn walk(tokens: TokenStream, leaf: &Ident, subtrees: &[Ident]) -> TokenStream {
        let tensor = quote_spanned!(Span::call_site()=> ::egrad::Tensor);
        tokens
            .into_iter()
            .flat_map(|token| match token {
                proc_macro2::TokenTree::Ident(ident) if ident == *leaf => tensor.clone(),
                proc_macro2::TokenTree::Ident(ident) if subtrees.contains(&ident) => {
                    format_ident!("{ident}Tensors").to_token_stream()
                }
                proc_macro2::TokenTree::Group(group) => {
                    let inside = walk(group.stream(), leaf, subtrees);
                    let mut new = proc_macro2::Group::new(group.delimiter(), inside);
                    new.set_span(group.span());
                    proc_macro2::TokenTree::Group(new).into()
                }
                other => other.into(),
            })
            .collect()
    }
    walk(quote!(#ty), leaf, subtrees)
}
