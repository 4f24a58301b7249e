use gondwana_engine::{image::Image, plan, ring::RingGeometry, site, verify};
use std::collections::BTreeMap;
fn main() {
    for path in std::env::args().skip(1) {
        let data = std::fs::read(&path).unwrap();
        let image = match Image::parse(&data) {
            Ok(i) => i,
            Err(e) => {
                println!("{path}: {e}");
                continue;
            }
        };
        let finder = site::Finder::new(&image);
        let raw = std::env::var("RAW").is_ok();
        let requests: Vec<_> = image
            .functions()
            .iter()
            .filter_map(|f| finder.find(f).ok())
            .map(|site| plan::HookRequest {
                site,
                inlined_copies: 0,
                options: plan::HookOptions { raw },
            })
            .collect();
        let mut geometry = RingGeometry::for_hooks(requests.len() as u32);
        if let Ok(s) = std::env::var("SLOTS") {
            geometry.slots = s.parse().unwrap();
        }
        let placement = plan::Placement::nominal(&image, geometry);
        let t = std::time::Instant::now();
        let p = match plan::build(&image, &requests, placement) {
            Ok(p) => p,
            Err(e) => {
                println!("{path}: build {e}");
                continue;
            }
        };
        let built = t.elapsed();
        let n = p.hooks.len();
        let t = std::time::Instant::now();
        let r = verify::verify(&image, p);
        println!(
            "{path}: {} of {} functions, {n} hooks, built {built:?} verified {:?}: {}",
            requests.len(),
            image.functions().len(),
            t.elapsed(),
            r.is_ok()
        );
        if let Err(list) = r {
            let mut codes: BTreeMap<String, usize> = BTreeMap::new();
            for x in &list {
                let c = codes.entry(x.code.to_string()).or_default();
                *c += 1;
                if *c <= 4 {
                    let s = x.to_string();
                    println!("   {}", &s[..s.len().min(600)]);
                }
            }
            println!("   {codes:?}");
        }
    }
}
