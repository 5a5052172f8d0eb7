#!/usr/bin/env ruby
# Ask the broker: ruby ask.rb ENDPOINT REQUEST...
#
# Each REQUEST is a JSON object; its reply is printed on a line of its own. The exit code
# is 0 if all succeeded, 1 if one was answered with an error, 4 if no reply came.
require 'ffi-rzmq'
require 'json'

TIMEOUT_MS = 10_000

endpoint, *requests = ARGV
context = ZMQ::Context.new
socket = context.socket(ZMQ::REQ)
socket.setsockopt(ZMQ::LINGER, 0)
socket.setsockopt(ZMQ::RCVTIMEO, TIMEOUT_MS)
socket.connect(endpoint)

failed = false
requests.each do |request|
  socket.send_string(request)
  reply = String.new
  unless ZMQ::Util.resultcode_ok?(socket.recv_string(reply))
    warn "no reply from #{endpoint} within #{TIMEOUT_MS} ms"
    exit 4
  end
  puts reply
  failed ||= JSON.parse(reply)['success'] != 0
end
socket.close
context.terminate
exit(failed ? 1 : 0)
