/** Drives h2load (Debian nghttp2-client): one fixed request over and over, on so many connections with so many streams each. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { latencyFigures } from './stats.mjs';
import { grpcFrame } from './wire.mjs';

const HEADERS = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];

/** `8x32`: connections, and streams on each. */
export function parseShape(text) {
  const match = /^([1-9]\d*)x([1-9]\d*)$/.exec(text);
  if (match === null) throw new Error(`a load is CONNECTIONSxSTREAMS, as in 8x32, not ${text}`);
  return { text, connections: Number(match[1]), streams: Number(match[2]) };
}

/** Latencies of single requests, milliseconds, from the log file: start, status, microseconds. */
function latenciesOf(log) {
  const latencies = [];
  for (const line of log.split('\n')) {
    const [, status, us] = line.split('\t');
    if (status === '200') latencies.push(Number(us) / 1_000);
  }
  return latencies;
}

/** The figure is made of whole runs alone: a request that failed would be a fast one. */
export function understand(output, log) {
  const finished = /finished in ([\d.]+)(us|ms|s),/.exec(output);
  const counts = /requests: .*, (\d+) succeeded, (\d+) failed/.exec(output);
  const bytes = /\((\d+)\) data/.exec(output);
  if (finished === null || counts === null || bytes === null) throw new Error(`h2load says something new:\n${output}`);
  const [, number, unit] = finished;
  const seconds = Number(number) / { us: 1e6, ms: 1e3, s: 1 }[unit];
  const [done, failed] = [Number(counts[1]), Number(counts[2])];
  if (failed > 0) throw new Error(`h2load: ${failed} requests failed\n${output}`);
  return { seconds, done, dataBytes: Number(bytes[1]), rate: done / seconds, ...latencyFigures(latenciesOf(log)) };
}

/** @param {{ path: string, body: Buffer }} call */
export async function h2load(workspace, { shape, requests, address, call }) {
  const [body, log] = [workspace.path('request'), workspace.path('latencies')];
  writeFileSync(body, grpcFrame(call.body));
  const count = Math.max(requests, shape.connections * shape.streams);
  const load = ['-n', String(count), '-c', String(shape.connections), '-m', String(shape.streams)];
  const output = await workspace.run('h2load', [
    ...load,
    ...['-d', body, `--log-file=${log}`, ...HEADERS, `http://${address}${call.path}`],
  ]);
  const result = understand(output, readFileSync(log, 'utf8'));
  rmSync(body);
  rmSync(log);
  return result;
}
