/** `npm run check-trace -- FOLDER`: checks what members wrote down, stream by stream. */
import { checkTrace } from './checker.ts';
import { missingVoters, readFolder } from './ndjson.ts';

const FINDINGS_SHOWN = 50;

function main([folder, ...more]: readonly string[]): void {
  if (folder === undefined || folder.startsWith('-') || more.length > 0)
    throw new Error('say which one folder: npm run check-trace -- FOLDER');
  const streams = readFolder(folder);
  if (streams.size === 0) throw new Error(`${folder} holds no traces (*.ndjson)`);
  for (const [stream, traces] of streams) {
    const headless = traces.find(({ events }) => events.length > 0 && events[0]?.kind !== 'start');
    if (headless !== undefined) throw new Error(`the trace of ${headless.member} does not begin with a start`);
    const findings = checkTrace(traces);
    for (const { member, events, complete } of traces) {
      const count = (kind: string): number => events.filter((event) => event.kind === kind).length;
      const end = complete ? '' : '; full, its end is not known';
      console.log(
        `stream ${stream} ${member}: ${events.length} events, ${count('start')} lives, ${count('elected')} elections${end}`,
      );
    }
    for (const id of missingVoters(traces))
      console.log(`stream ${stream} ${id}: NO TRACE; taken to have kept the rules`);
    for (const { rule, member, at, message } of findings.slice(0, FINDINGS_SHOWN)) {
      console.log(`BROKEN ${rule}: ${member} ${message} (event ${at + 1})`);
    }
    console.log(`stream ${stream}: ${findings.length === 0 ? 'all rules hold' : `${findings.length} findings`}`);
    if (findings.length > 0) process.exitCode = 1;
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
