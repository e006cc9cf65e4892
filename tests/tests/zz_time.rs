use egrad::*;
use std::time::Instant;
#[test]
fn time() {
    for n in [1000usize, 100_000] {
        let xs = Array::from_vec(vec![0.5f32; n], [n]).unwrap();
        let f = jit(|xs: Tensor| {
            scan(
                |c: Tensor, x: Tensor| {
                    let c = 0.9 * c + x;
                    (c, c)
                },
                full([], 0.0f32),
                xs,
            )
        });
        f(&xs).unwrap();
        let t = Instant::now();
        for _ in 0..5 {
            f(&xs).unwrap();
        }
        println!("scan scalar {n}: {:.1} ns/step", t.elapsed().as_nanos() as f64 / 5.0 / n as f64);
        let g = jit(grad(|xs: Tensor| {
            scan(
                |c: Tensor, x: Tensor| {
                    let c = (0.9 * c + x).sin();
                    (c, c)
                },
                full([], 0.0f32),
                xs,
            )
            .0
        }));
        g(&xs).unwrap();
        let t = Instant::now();
        for _ in 0..5 {
            g(&xs).unwrap();
        }
        println!("grad scan scalar {n}: {:.1} ns/step", t.elapsed().as_nanos() as f64 / 5.0 / n as f64);
        let m = n as i32;
        let h = jit(move |x: Tensor| fori_loop(0, m, |i: Tensor, c: Tensor| 0.9 * c + i.convert(Dtype::F32), x));
        h(&Array::from(1.0f32)).unwrap();
        let t = Instant::now();
        for _ in 0..5 {
            h(&Array::from(1.0f32)).unwrap();
        }
        println!("fori {n}: {:.1} ns/step", t.elapsed().as_nanos() as f64 / 5.0 / n as f64);
        let w = jit(move |x: Tensor| {
            while_loop(
                move |(i, _): (Tensor, Tensor)| i.lt(m),
                |(i, c): (Tensor, Tensor)| (i + 1, 0.9 * c + 1.0),
                (full([], 0), x),
            )
            .1
        });
        w(&Array::from(1.0f32)).unwrap();
        let t = Instant::now();
        for _ in 0..5 {
            w(&Array::from(1.0f32)).unwrap();
        }
        println!("while {n}: {:.1} ns/step", t.elapsed().as_nanos() as f64 / 5.0 / n as f64);
    }
}
