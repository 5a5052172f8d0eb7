#!/usr/bin/env ruby
# A plain worker: ruby serve.rb ENDPOINT
#
# Serves text.reverse (text, optionally seconds: how long to take over it) at the broker's
# plain backend. What it sends is what the client gets, to the letter.
require 'ffi-rzmq'
require 'json'

def answer(request)
  case request['method']
  when 'text.reverse'
    text = request['text']
    return failure('invalid_params', 'text: missing or no string') unless text.is_a?(String)

    sleep(request.fetch('seconds', 0))
    { success: 0, msg: 'reversed', result: text.reverse }
  else
    failure('unknown_method', "no #{request['method']} here")
  end
end

def failure(code, msg)
  { success: 1, msg: msg, error: { code: code, retryable: false } }
end

# REP must reply to whatever it receives, or it receives nothing more.
def reply_to(body)
  answer(JSON.parse(body))
rescue JSON::ParserError, StandardError => e
  failure('task_failed', e.message)
end

socket = ZMQ::Context.new.socket(ZMQ::REP)
socket.setsockopt(ZMQ::LINGER, 1000)
socket.connect(ARGV.fetch(0))
$stdout.sync = true
puts "serving #{Process.pid}"
loop do
  body = String.new
  next unless ZMQ::Util.resultcode_ok?(socket.recv_string(body))

  socket.send_string(reply_to(body).to_json)
end
