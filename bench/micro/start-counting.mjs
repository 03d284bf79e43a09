/**
 * How much of the program is executed, as a figure that is the same on every machine: the length of each block of source times how often
 * it ran, by V8's precise coverage. Is to be imported before everything that counts (`node --import`): what was compiled before has no
 * counters in its blocks. Node.js's own code and what is native are not seen.
 */
import { Session } from 'node:inspector';
import { executedOf } from './executed.mjs';

const session = new Session();
session.connect();

/** In the same process V8 answers before `post` returns. */
function post(method, params) {
  let answer;
  session.post(method, params, (error, result) => {
    if (error !== null) throw new Error(`${method}: ${JSON.stringify(error)}`);
    answer = result;
  });
  if (answer === undefined) throw new Error(`${method}: no answer`);
  return answer;
}

post('Profiler.enable');
post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** Characters executed since it was last called. */
globalThis.executedCharacters = () =>
  post('Profiler.takePreciseCoverage')
    .result.filter(({ url }) => url.startsWith('file://'))
    .reduce((sum, { functions }) => sum + executedOf(functions), 0);
