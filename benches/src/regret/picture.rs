//! A picture of each trace: how far every arm is from the clairvoyant at each load, and how adumbra gets there.
//!
//! Written by hand as SVG: bars, a line and words need no library.

use std::fmt::Write as _;

use super::compare::{Row, Verdict};

/// Beyond this a bar is cut, and says so: what is five times as dear would make all the others look alike.
const CUT: f64 = 1.6;
const WIDTH: f64 = 460.0;
const LEFT: f64 = 200.0;
const BAR: f64 = 15.0;
const CURVE: f64 = 120.0;

/// The picture of one trace; `verdicts` are its loads.
#[must_use]
pub fn draw(trace: &str, verdicts: &[&Verdict]) -> String {
    let rows = verdicts.iter().map(|verdict| verdict.rows.len()).max().unwrap_or(0) as f64;
    let (panel_w, panel_h) = (LEFT + WIDTH + 90.0, 60.0 + rows * BAR + CURVE + 60.0);
    let mut svg = String::new();
    let width = panel_w * verdicts.len() as f64;
    let head = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {panel_h:.0}\" width=\"{width:.0}\" \
         height=\"{panel_h:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    svg.push_str(&head);
    for (place, verdict) in verdicts.iter().enumerate() {
        panel(&mut svg, trace, verdict, place as f64 * panel_w);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, trace: &str, verdict: &Verdict, left: f64) {
    let x = |regret: f64| left + LEFT + WIDTH * (regret.clamp(0.95, CUT) - 0.95) / (CUT - 0.95);
    text(svg, left + 10.0, 18.0, 14.0, &format!("{trace}, load {}: cost over the clairvoyant's", verdict.load));
    let bottom = 40.0 + verdict.rows.len() as f64 * BAR;
    for tick in [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6] {
        line(svg, (x(tick), 32.0), (x(tick), bottom), if tick == 1.0 { "#000" } else { "#ddd" });
        text(svg, x(tick) - 8.0, 30.0, 9.0, &format!("{tick:.1}"));
    }
    for (place, row) in verdict.rows.iter().enumerate() {
        bar(svg, row, left, 38.0 + place as f64 * BAR, &x);
    }
    curve(svg, verdict, left, bottom + 40.0);
}

fn bar(svg: &mut String, row: &Row, left: f64, top: f64, x: &impl Fn(f64) -> f64) {
    let colour = match row.name.as_str() {
        "adumbra" => "#b5432a",
        "clairvoyant" => "#000000",
        name if name.starts_with("adumbra") => "#e0a898",
        _ => "#7a93a8",
    };
    text(svg, left + 10.0, top + 10.0, 11.0, &row.name.replace('_', " "));
    let end = x(row.regret);
    push(
        svg,
        &format!(
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n",
            x(0.95),
            end - x(0.95),
            BAR - 4.0
        ),
    );
    let (low, high) = row.regrets.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), r| (l.min(*r), h.max(*r)));
    line(svg, (x(low), top + 5.5), (x(high), top + 5.5), "#222");
    let cut = if row.regret > CUT { " →" } else { "" };
    text(svg, x(high.max(row.regret)) + 4.0, top + 10.0, 10.0, &format!("{:.3}{cut}", row.regret));
}

/// adumbra's regret over the run, from cold.
fn curve(svg: &mut String, verdict: &Verdict, left: f64, top: f64) {
    let Some((last, _)) = verdict.learning.last() else { return };
    let most = verdict.learning.iter().map(|(_, ratio)| *ratio).fold(1.1, f64::max).min(3.0);
    let x = |job: usize| left + LEFT + WIDTH * job as f64 / (*last).max(1) as f64;
    let y = |ratio: f64| top + CURVE * (1.0 - (ratio.clamp(0.9, most) - 0.9) / (most - 0.9));
    text(svg, left + 10.0, top, 11.0, "adumbra from cold:");
    text(svg, left + 10.0, top + 14.0, 10.0, "the next 200 jobs after so many");
    line(svg, (x(0), y(1.0)), (x(*last), y(1.0)), "#000");
    let mut points = String::new();
    for (job, ratio) in &verdict.learning {
        push(&mut points, &format!("{:.1},{:.1} ", x(*job), y(*ratio)));
    }
    push(svg, &format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"#b5432a\" stroke-width=\"1.5\"/>\n"));
    text(svg, x(*last) + 4.0, y(1.0) + 4.0, 10.0, "1.0");
    text(svg, left + LEFT - 30.0, y(most) + 4.0, 10.0, &format!("{most:.2}"));
    text(svg, x(0), top + CURVE + 16.0, 10.0, "0");
    text(svg, x(*last) - 20.0, top + CURVE + 16.0, 10.0, &format!("{last} jobs"));
}

fn text(svg: &mut String, x: f64, y: f64, size: f64, words: &str) {
    push(svg, &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\">{words}</text>\n"));
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    push(
        svg,
        &format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>\n",
            from.0, from.1, to.0, to.1
        ),
    );
}

fn push(svg: &mut String, text: &str) {
    svg.write_str(text).expect("a string takes all that is written to it");
}
