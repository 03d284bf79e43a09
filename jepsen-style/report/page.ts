/** The page of a run. */
import { field } from '../checkers/operation.ts';
import { isEvidence, type Verdict } from '../checkers/verdict.ts';
import { entriesOf, listOf, numberOf, type RunData } from './data.ts';
import { bytes, duration, escapeHtml, grouped, table } from './html.ts';
import { drawRun, familyOf } from './plot.ts';
import { STYLE } from './style.ts';
import { drawTimeline } from './timeline.ts';

/** X4. */
const FAILOVER_MS_MAX = 30_000;

type Standing = 'good' | 'bad' | 'open';

export function page(data: RunData, verdicts: readonly Verdict[], folder: string): string {
  const { run } = data;
  const standing = standingOf(run, verdicts);
  const words = { good: 'no violation found', bad: 'violation', open: 'not decided' } as const;
  const title = `Chaos run, seed ${text(field(run, 'seed'))}`;
  const sections = [
    `<header><h1>${escapeHtml(title)}</h1><span class="pill ${standing}">${words[standing]}</span></header>`,
    `<p class="muted">${escapeHtml(subtitle(run))}</p>`,
    tiles(run),
    findings(run),
    section(
      'Over time',
      `<div class="card"><div class="scroll">${drawRun(data.samples, data.faults)}</div>${legend(data)}</div>`,
    ),
    section('Verdicts', verdictTable(verdicts)),
    evidence(verdicts),
    section('Service levels (X4)', serviceLevels(run)),
    section('Faults', faultTable(run)),
    section('Operations', operationTable(run)),
    section('Run it again', replay(run, folder)),
    section('What it ran on', environment(run)),
    section('Files', files(data)),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}: ${words[standing]}</title><style>${STYLE}</style></head>
<body><main>
${sections.filter((one) => one !== '').join('\n')}
</main></body></html>
`;
}

/** As the exit code of the run: a violation outweighs what was not decided. */
export function standingOf(run: unknown, verdicts: readonly Verdict[]): Standing {
  const levelsMissed = field(field(run, 'serviceLevels'), 'met') === false;
  if (levelsMissed || listOf(field(run, 'findings')).length > 0) return 'bad';
  if (verdicts.some(({ valid }) => valid === false)) return 'bad';
  return verdicts.length === 0 || verdicts.some(({ valid }) => valid === 'unknown') ? 'open' : 'good';
}

function section(title: string, body: string): string {
  return body === '' ? '' : `<section><h2>${escapeHtml(title)}</h2>\n${body}</section>`;
}

function text(value: unknown): string {
  if (value === null || value === undefined) return '–';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function subtitle(run: unknown): string {
  const options = field(run, 'options');
  const minutes = numberOf(field(options, 'minutes'));
  const parts = [
    field(run, 'startedAt'),
    minutes === null ? null : `${minutes} min of faults`,
    numberOf(field(options, 'members')) === null ? null : `${text(field(options, 'members'))} members`,
    field(run, 'ground'),
    field(options, 'pairs') === true ? 'two faults at a time' : null,
  ];
  return parts.flatMap((part) => (part === null || part === undefined ? [] : [text(part)])).join(' · ');
}

function tiles(run: unknown): string {
  const counts = entriesOf(field(run, 'operations')).map(([, one]) => one);
  const sum = (name: string): number => counts.reduce<number>((all, one) => all + (numberOf(field(one, name)) ?? 0), 0);
  const faults = entriesOf(field(run, 'faults')).map(([, one]) => one);
  const total = (name: string): number =>
    faults.reduce<number>((all, one) => all + (numberOf(field(one, name)) ?? 0), 0);
  const levels = field(run, 'serviceLevels');
  const failovers = counted(levels);
  const worst = worstFailover(levels);
  const twice = listOf(field(levels, 'effectsTwice')).length;
  const two = listOf(field(levels, 'acceptedByTwo')).length;
  const tile = (value: string, what: string, wrong = false): string =>
    `<div class="tile${wrong ? ' wrong' : ''}"><b>${escapeHtml(value)}</b><span>${escapeHtml(what)}</span></div>`;
  return `<div class="tiles">${[
    tile(grouped(sum('ok')), `operations ok, ${grouped(sum('fail'))} fail, ${grouped(sum('info'))} info`),
    tile(grouped(total('injected')), `faults injected, ${grouped(total('skipped'))} skipped`),
    tile(worst.text, `longest of ${failovers.length} failovers, at most 30 s`, worst.isMissed),
    tile(String(two), 'signs of two leaders at once', two > 0),
    tile(String(twice), 'side effects twice', twice > 0),
  ].join('\n')}</div>`;
}

/** Failovers that no other fault got in the way of. */
function counted(levels: unknown): readonly unknown[] {
  return listOf(field(levels, 'failovers')).filter((one) => field(one, 'disturbedBy') === undefined);
}

function worstFailover(levels: unknown): { readonly text: string; readonly isMissed: boolean } {
  const failovers = counted(levels);
  if (failovers.length === 0) return { text: '–', isMissed: false };
  const took = failovers.map((one) => numberOf(field(one, 'tookMs')));
  if (took.includes(null)) return { text: 'not ended', isMissed: true };
  const worst = Math.max(...took.map((one) => one ?? 0));
  return { text: duration(worst), isMissed: worst > FAILOVER_MS_MAX };
}

function findings(run: unknown): string {
  const all = listOf(field(run, 'findings'));
  if (all.length === 0) return '';
  return section('Findings', `<ul>${all.map((one) => `<li>${escapeHtml(text(one))}</li>`).join('')}</ul>`);
}

function legend({ faults }: RunData): string {
  const families = [...new Set(faults.map(({ name }) => familyOf(name)))];
  const key = (colour: string, what: string): string =>
    `<span><i style="background:var(--${colour})"></i>${what}</span>`;
  const kinds = [
    key('ok', 'ok'),
    key('info', 'info (outcome unknown)'),
    key('fail', 'fail'),
    key('p50', 'p50'),
    key('p99', 'p99'),
  ];
  return `<div class="legend">${[...kinds, ...families.map((family) => key(`f-${family}`, family))].join('')}</div>`;
}

const PILLS = { true: ['good', 'valid'], false: ['bad', 'violation'], unknown: ['open', 'not decided'] } as const;

function verdictTable(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return '<p class="note">No checker has looked at this run.</p>';
  const rows = verdicts.map(({ checker, workload, valid, detail }) => {
    const [kind, word] = PILLS[`${valid}`];
    return [escapeHtml(checker), escapeHtml(workload), `<span class="pill ${kind}">${word}</span>`, escapeHtml(detail)];
  });
  return table(['checker', 'workload', 'verdict', 'what was looked at, or found'], rows);
}

function evidence(verdicts: readonly Verdict[]): string {
  const drawn = verdicts.flatMap((verdict) => {
    if (!isEvidence(verdict.evidence)) return [];
    const heading = `<h3>${escapeHtml(`${verdict.checker} of ${verdict.workload}`)}</h3>`;
    return [
      `${heading}<p>${escapeHtml(verdict.evidence.title)}</p><div class="card">${drawTimeline(verdict.evidence)}</div>`,
    ];
  });
  if (drawn.length === 0) return '';
  const note =
    'Only what is needed to see it. A bar goes from the call to the answer, in the order of events, not to scale; dashed: nobody knows ' +
    'whether and when it happened; red: it cannot be placed.';
  return section('What is wrong', `<p class="note">${note}</p>${drawn.join('\n')}`);
}

function serviceLevels(run: unknown): string {
  const levels = field(run, 'serviceLevels');
  if (levels === undefined) return '';
  const row = (name: string, limit: string, found: string, isMissed: boolean): readonly string[] => [
    name,
    limit,
    escapeHtml(found),
    `<span class="pill ${isMissed ? 'bad' : 'good'}">${isMissed ? 'missed' : 'met'}</span>`,
  ];
  const worst = worstFailover(levels);
  const two = listOf(field(levels, 'acceptedByTwo'));
  const twice = listOf(field(levels, 'effectsTwice'));
  const median = numberOf(field(levels, 'failoverMsMedian'));
  const found = `longest ${worst.text}${median === null ? '' : `, median ${duration(median)}`}`;
  const met = table(
    ['level', 'demanded', 'found', ''],
    [
      row('failover', '≤ 30 s', found, worst.isMissed),
      row('commands accepted by two leaders', '0', [two.length, ...two].map(text).join('; '), two.length > 0),
      row('side effects twice', '0', [twice.length, ...twice].map(text).join('; '), twice.length > 0),
    ],
  );
  const failovers = listOf(field(levels, 'failovers')).map((one) => {
    const [at, took] = [numberOf(field(one, 'atMs')), numberOf(field(one, 'tookMs'))];
    return [
      escapeHtml(text(field(one, 'nemesis'))),
      at === null ? '–' : duration(at),
      took === null ? 'not ended' : duration(took),
      escapeHtml(text(field(one, 'disturbedBy') ?? '')),
    ];
  });
  if (failovers.length === 0) return met;
  return `${met}<h3>Failovers</h3>${table(['fault', 'at', 'until the next write was carried out', 'does not count: disturbed by'], failovers)}`;
}

function faultTable(run: unknown): string {
  const rows = entriesOf(field(run, 'faults')).map(([name, count]) => [
    escapeHtml(name),
    text(field(count, 'injected')),
    text(field(count, 'skipped')),
    listOf(field(count, 'reasons'))
      .map((reason) => escapeHtml(text(reason)))
      .join('; '),
  ]);
  return rows.length === 0 ? '' : table(['fault', 'injected', 'skipped', 'why skipped'], rows);
}

function operationTable(run: unknown): string {
  const rows = entriesOf(field(run, 'operations')).map(([workload, counts]) => [
    escapeHtml(workload),
    ...['ok', 'fail', 'info'].map((name) => grouped(numberOf(field(counts, name)) ?? 0)),
  ]);
  return rows.length === 0 ? '' : table(['workload', 'ok', 'fail', 'info'], rows);
}

function replay(run: unknown, folder: string): string {
  const options = field(run, 'options');
  if (options === undefined) return '';
  const list = (name: string): string => listOf(field(options, name)).map(text).join(',') || 'none';
  const same = [
    'npm run chaos --',
    `--minutes ${text(field(options, 'minutes'))}`,
    `--seed ${text(field(options, 'seed'))}`,
    `--members ${text(field(options, 'members'))}`,
    `--nemesis ${list('nemeses')}`,
    `--workload ${list('workloads')}`,
    ...(field(options, 'pairs') === true ? ['--pairs'] : []),
    ...(field(options, 'loopback') === true ? ['--loopback'] : []),
  ].join(' ');
  const note =
    'The schedule of faults is the same, the interleaving is not. The first takes it from this folder, the second draws it again.';
  return `<pre><code>npm run chaos -- --replay ${escapeHtml(folder)}\n${escapeHtml(same)}</code></pre><p class="note">${note}</p>`;
}

function environment(run: unknown): string {
  const rows = (['versions', 'machine'] as const).flatMap((name) =>
    entriesOf(field(run, name)).map(([what, value]) => [escapeHtml(what), escapeHtml(text(value))]),
  );
  // null: the tool is there.
  for (const [tool, why] of entriesOf(field(run, 'tools')))
    if (why !== null) rows.push([escapeHtml(tool), `not available: ${escapeHtml(text(why))}`]);
  return rows.length === 0 ? '' : table(['', ''], rows);
}

function files({ files: all }: RunData): string {
  const items = all.map(({ path, bytes: size }) => {
    const href = path.split('/').map(encodeURIComponent).join('/');
    return `<li><a href="${href}">${escapeHtml(path)}</a> <span class="muted">${bytes(size)}</span></li>`;
  });
  return items.length === 0 ? '' : `<ul class="files">${items.join('\n')}</ul>`;
}
