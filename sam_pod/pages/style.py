"""How the page looks: on a light and on a dark screen, and on paper."""

STYLE = """
:root {
  color-scheme: light;
  --surface: #fdfdfc; --panel: #f4f4f1; --ink: #1a1a19; --soft: #575650;
  --line: #dcdbd5; --axis: #8b8a83; --accent: #2a66b8;
  --good: #0b6b2e; --good-panel: #e8f4ea; --bad: #a81e1e; --bad-panel: #fbe9e7;
  --weights: #2a78d6; --statistics: #1baf7a; --slots: #eda100; --batch: #008300;
  --activations: #4a3aa7; --temporaries: #e34948; --code: #e87ba4; --free: #e9e8e3;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark;
    --surface: #1a1a19; --panel: #252523; --ink: #f2f1ec; --soft: #b8b6ad;
    --line: #3a3a36; --axis: #85847c; --accent: #6aa9f2;
    --good: #6fd08c; --good-panel: #1c2f22; --bad: #ff8f87; --bad-panel: #3a201e;
    --weights: #3987e5; --statistics: #199e70; --slots: #c98500; --batch: #3f9f3f;
    --activations: #9085e9; --temporaries: #e66767; --code: #d55181;
    --free: #33332f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 60rem;
  background: var(--surface); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1 { margin: 0 0 .75rem; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 0; font-size: 1.3rem; }
h3 { margin: 1.75rem 0 .5rem; font-size: 1.05rem; }
h1, h2, td, .reason { overflow-wrap: anywhere; }
p { margin: .4rem 0; }
a { color: var(--accent); }
section { margin-top: 2.5rem; padding-top: 1.25rem; border-top: 2px solid var(--line); }
dl { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 0 0 1rem; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.verdict {
  padding: .5rem .8rem; border: 1px solid; border-left-width: 6px; border-radius: 4px;
  font-weight: 600;
}
.verdict ul { margin: .25rem 0 0; padding-left: 1.4rem; font-weight: 400; }
.pass { color: var(--good); }
.FAIL { color: var(--bad); }
.verdict.pass { background: var(--good-panel); }
.verdict.FAIL, tr.FAIL { background: var(--bad-panel); }
tr.FAIL > :first-child { box-shadow: inset 4px 0 var(--bad); }
.verdict li, tr.FAIL td:not(.mark) { color: var(--ink); }
.mark { font-weight: 700; white-space: nowrap; }
.reason {
  margin: .4rem 0; padding: .5rem .8rem; background: var(--panel); border-radius: 4px;
  font-size: .9rem;
}
.checks td:nth-child(2) { white-space: nowrap; }
.checks td:nth-child(3) { min-width: 15rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
caption { padding-bottom: .3rem; text-align: left; color: var(--soft); }
th, td { padding: .2rem .7rem; text-align: left; vertical-align: top; }
tbody th { font-weight: 600; }
tbody tr { border-top: 1px solid var(--line); }
thead th { color: var(--soft); white-space: nowrap; }
.number, .numbers :is(td, th):not(:first-child) {
  text-align: right; font-variant-numeric: tabular-nums;
}
.numbers :is(td, th) { white-space: nowrap; }
.numbers thead th { max-width: 9rem; white-space: normal; vertical-align: bottom; }
tr.part { border-top-color: transparent; }
tr.part th { padding-left: 1.8rem; font-weight: 400; }
tr.total > * { font-weight: 600; }
figure { margin: 0 0 .75rem; overflow-x: auto; }
figure > svg { display: block; width: 100%; min-width: 34rem; max-width: 51rem; }
figcaption { margin-top: .4rem; color: var(--soft); font-size: .9rem; }
.swatch { width: .8em; height: .8em; margin-right: .5em; }
.swatch rect { stroke: var(--axis); }
svg text { fill: var(--ink); font-size: 12.5px; }
svg text.tick { fill: var(--soft); font-size: 11.5px; }
svg text.name { fill: var(--soft); font-weight: 600; }
svg text.label {
  paint-order: stroke; stroke: var(--surface); stroke-width: 3px;
  stroke-linejoin: round;
}
.grid { stroke: var(--line); }
.ridge { stroke: var(--axis); stroke-dasharray: 4 4; }
.roof { fill: none; stroke: var(--ink); stroke-width: 2; }
.reach { fill: var(--accent); fill-opacity: .06; }
.lead { fill: none; stroke: var(--axis); }
.point { fill: var(--accent); fill-opacity: .35; stroke: var(--accent); }
.point { stroke-width: 2; }
.limit { stroke: var(--ink); stroke-width: 3; }
.part-weights { fill: var(--weights); }
.part-statistics { fill: var(--statistics); }
.part-slots { fill: var(--slots); }
.part-batch { fill: var(--batch); }
.part-activations { fill: var(--activations); }
.part-temporaries { fill: var(--temporaries); }
.part-code { fill: var(--code); }
.part-free { fill: var(--free); }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  section { break-before: page; margin-top: 0; border-top: 0; }
  figure, tr, .verdict { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  figure, .scroll { overflow: visible; }
}
"""
