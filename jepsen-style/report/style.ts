/** How the report looks, in light and in dark. */
export const STYLE = `
:root { color-scheme: light dark;
  --bg: #fbfbf9; --card: #ffffff; --text: #1c1e21; --muted: #6a7078; --line: #e3e4e0; --grid: #ececE8;
  --ok: #2f6fbd; --info: #c99a1d; --fail: #b9bcc2; --p50: #2f6fbd; --p99: #c4532d; --good: #1d7a46; --bad: #b3261e; --open: #8a6500;
  --good-bg: #e4f3ea; --bad-bg: #fbe6e4; --open-bg: #f8efd6; --reign: #cfdff3;
  --f-partition: #7c5cc4; --f-kill: #b3261e; --f-pause: #d07a1c; --f-link: #2c8c99; --f-clock: #97791a; --f-disk: #4b6b8f; --f-power: #a8327f; --f-other: #687078; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #141619; --card: #1b1e22; --text: #e6e7e9; --muted: #989fa8; --line: #30343a; --grid: #282c31;
  --ok: #6ba4ea; --info: #dcb64c; --fail: #5f656d; --p50: #6ba4ea; --p99: #ee8a64; --good: #6cc894; --bad: #ff8f86; --open: #e2bd56;
  --good-bg: #16301f; --bad-bg: #3b1a18; --open-bg: #332a11; --reign: #2b4564;
  --f-partition: #a68cf0; --f-kill: #ff8f86; --f-pause: #f0a557; --f-link: #5cc3d1; --f-clock: #d3b650; --f-disk: #8db0d8; --f-power: #e77dc2; --f-other: #9aa2ab; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 28px 64px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; font-weight: 650; letter-spacing: -0.01em; }
h2 { font-size: 17px; margin: 40px 0 12px; font-weight: 650; }
h3 { font-size: 15px; margin: 20px 0 8px; font-weight: 600; }
p { margin: 6px 0; max-width: 85ch; }
.note, .muted { color: var(--muted); }
header { display: flex; gap: 16px; align-items: center; flex-wrap: wrap; }
.pill { display: inline-block; padding: 2px 10px; border-radius: 999px; font-size: 13px; font-weight: 600; white-space: nowrap; }
header .pill { font-size: 15px; padding: 4px 14px; }
.good { color: var(--good); background: var(--good-bg); } .bad { color: var(--bad); background: var(--bad-bg); } .open { color: var(--open); background: var(--open-bg); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin-top: 24px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 23px; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 13px; color: var(--muted); }
.tile.wrong b { color: var(--bad); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: 13px; color: var(--muted); }
th, td { padding: 6px 16px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td:first-child, th:first-child { white-space: nowrap; overflow-wrap: normal; }
code, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 13px; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0; }
a { color: var(--ok); } ul { padding-left: 20px; margin: 6px 0; }
.legend { display: flex; gap: 6px 18px; flex-wrap: wrap; font-size: 13px; color: var(--muted); margin-top: 8px; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }
.files { columns: 3 260px; font-size: 14px; list-style: none; padding: 0; } .files li { break-inside: avoid; margin: 2px 0; }
svg text { fill: var(--text); font-size: 12px; } svg .small { font-size: 10.5px; } svg .label { font-size: 12.5px; font-weight: 600; } svg .muted { fill: var(--muted); } svg .mono { font-size: 12px; }
svg.timeline { display: block; }
svg.run { display: block; width: 100%; min-width: 860px; height: auto; }
.grid { stroke: var(--grid); stroke-width: 1; } .axis { stroke: var(--line); stroke-width: 1; }
rect.ok { fill: var(--ok); } rect.info { fill: var(--info); } rect.fail { fill: var(--fail); }
.line { fill: none; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round; } .line.p50 { stroke: var(--p50); } .line.p99 { stroke: var(--p99); }
.reign rect { fill: var(--reign); }
.shade { opacity: 0.07; } .fault rect { opacity: 0.3; }
.f-partition { fill: var(--f-partition); } .f-kill { fill: var(--f-kill); } .f-pause { fill: var(--f-pause); } .f-link { fill: var(--f-link); }
.f-clock { fill: var(--f-clock); } .f-disk { fill: var(--f-disk); } .f-power { fill: var(--f-power); } .f-other { fill: var(--f-other); }
.timeline .op rect { fill: var(--card); stroke: var(--ok); stroke-width: 1.5; } .timeline .op.fail rect { stroke: var(--fail); }
.timeline .op.info rect { stroke: var(--info); stroke-dasharray: 5 3; }
.timeline .op.stuck rect { stroke: var(--bad); fill: var(--bad-bg); stroke-width: 2; } .timeline .op.stuck text { fill: var(--bad); font-weight: 600; }
@media print { main { max-width: none; } }
`;
